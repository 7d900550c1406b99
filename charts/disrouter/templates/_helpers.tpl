{{- define "disrouter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Never changes while a release lives: a Deployment's selector is immutable. */ -}}
{{- define "disrouter.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* The operator's pods, and not the pod of `helm test`. */ -}}
{{- define "disrouter.operatorPods" -}}
{{ include "disrouter.selector" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- /* The same as name=value,... */ -}}
{{- define "disrouter.operatorPodsList" -}}
{{- $pairs := list -}}
{{- range $name, $value := include "disrouter.operatorPods" . | fromYaml -}}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "disrouter.labels" -}}
{{ include "disrouter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* All labels of an object: dict "root" $ "labels" (its own) */ -}}
{{- define "disrouter.allLabels" -}}
{{- merge (include "disrouter.labels" .root | fromYaml) (.labels | default dict) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{- /* What every object starts with: dict "root" $ and, where they differ, "name", "namespace" ("" for a cluster-wide
object), "labels", "annotations". */ -}}
{{- define "disrouter.metadata" -}}
{{- $root := .root -}}
{{- $annotations := merge (dict) (.annotations | default dict) $root.Values.commonAnnotations -}}
{{- $namespace := hasKey . "namespace" | ternary .namespace $root.Release.Namespace -}}
name: {{ .name | default (include "disrouter.fullname" $root) }}
{{- with $namespace }}
namespace: {{ . }}
{{- end }}
labels: {{- include "disrouter.allLabels" . | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "disrouter.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "disrouter.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is required when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* A reference to an image: dict "root" $ "image" .Values.images.x */ -}}
{{- define "disrouter.image" -}}
{{- $tagged := printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- with .image.digest -}}
{{- printf "%s@%s" $tagged . -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}

{{- /* Nothing that an attacker in the container could use. */ -}}
{{- define "disrouter.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
