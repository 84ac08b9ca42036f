{{/* What the three bundled stores have in common. Each takes a dict with "root" and "service". */}}

{{- define "finetuneflow.bundledMeta" -}}
name: {{ include "finetuneflow.fullname" .root }}-{{ .service }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "finetuneflow.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .service }}
{{- end }}

{{- define "finetuneflow.bundledService" }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "finetuneflow.bundledMeta" . | nindent 2 }}
spec:
  selector:
    {{- include "finetuneflow.selector" . | nindent 4 }}
  ports:
    - {name: store, port: {{ .port }}, targetPort: store}
{{- end }}

{{- define "finetuneflow.bundledSpec" -}}
replicas: 1
serviceName: {{ include "finetuneflow.fullname" .root }}-{{ .service }}
# The data stays when the release goes; `kubectl delete pvc` removes it.
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
selector:
  matchLabels:
    {{- include "finetuneflow.selector" . | nindent 4 }}
{{- end }}

{{- define "finetuneflow.bundledPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "finetuneflow.podSecurity" .user | nindent 2 }}
{{- end }}

{{- define "finetuneflow.bundledVolumes" -}}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  {{- if not (index .root.Values.bundled .service).size }}
  - name: data
    emptyDir: {}
  {{- end }}
{{- end }}

{{- define "finetuneflow.bundledClaim" -}}
{{- $b := index .root.Values.bundled .service -}}
{{- if $b.size -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .root.Values.bundled.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ $b.size }}}}
{{- end -}}
{{- end }}
