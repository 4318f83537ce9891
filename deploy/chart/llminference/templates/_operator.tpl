{{- define "llminference.labels" -}}
app.kubernetes.io/name: llminference-operator
app.kubernetes.io/part-of: llminference
{{- end }}

{{- define "llminference.adapterLabels" -}}
app.kubernetes.io/name: llminference-metrics-adapter
app.kubernetes.io/part-of: llminference
{{- end }}

{{- /* An image by digest if there is one, else by tag. */ -}}
{{- define "llminference.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- /* Binds a role to the operator's account. Takes kind, name, namespace (empty: the cluster) and root. */ -}}
{{- define "llminference.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "llminference.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: llminference-operator
    namespace: {{ .root.Release.Namespace }}
{{- end }}
