{{/* What the schema cannot say: settings that need one another. Each message ends with the remedy. */}}

{{/* Whether the chart keeps a Secret of store addresses and keys of its own. */}}
{{- define "finetuneflow.storesOwn" -}}
{{- if not (and .Values.documents.existingSecret.name .Values.objects.existingSecret.name .Values.nats.existingSecret.name) -}}
true
{{- end -}}
{{- end }}

{{- define "finetuneflow.checkStores" -}}
{{- $v := .Values -}}
{{- if not (or $v.documents.existingSecret.name $v.documents.url $v.bundled.mongodb.enabled) -}}
{{- fail "No document store. Set documents.existingSecret.name, or bundled.mongodb.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.bundled.mongodb.enabled (or $v.documents.existingSecret.name $v.documents.url) -}}
{{- fail "Two document stores. Set bundled.mongodb.enabled=false, or leave documents.existingSecret.name and documents.url empty." -}}
{{- end -}}
{{- if and $v.documents.existingSecret.name $v.documents.url -}}
{{- fail "Both documents.url and documents.existingSecret.name are set. Keep one of them." -}}
{{- end -}}
{{- if not (or $v.objects.existingSecret.name (and $v.objects.accessKey $v.objects.secretKey) $v.bundled.minio.enabled) -}}
{{- fail "No keys of the object store. Set objects.existingSecret.name, or bundled.minio.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.objects.existingSecret.name (or $v.objects.accessKey $v.objects.secretKey) -}}
{{- fail "Both objects.existingSecret.name and objects.accessKey or objects.secretKey are set. Keep the Secret, or the keys." -}}
{{- end -}}
{{- if and $v.bundled.minio.enabled (or $v.objects.url $v.objects.existingSecret.name $v.objects.accessKey) -}}
{{- fail "Two object stores. Set bundled.minio.enabled=false, or leave objects.url, objects.accessKey and objects.existingSecret.name empty." -}}
{{- end -}}
{{- if not (or $v.nats.existingSecret.name $v.nats.url $v.bundled.nats.enabled) -}}
{{- fail "No NATS. Set nats.existingSecret.name or nats.url, or bundled.nats.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.nats.existingSecret.name $v.nats.url -}}
{{- fail "Both nats.url and nats.existingSecret.name are set. Keep one of them." -}}
{{- end -}}
{{- if and $v.bundled.nats.enabled (or $v.nats.existingSecret.name $v.nats.url) -}}
{{- fail "Two NATS. Set bundled.nats.enabled=false, or leave nats.existingSecret.name and nats.url empty." -}}
{{- end -}}
{{- if and $v.bundled.nats.enabled (ne (int $v.nats.replicas) 1) -}}
{{- fail "The bundled NATS is one server. Set nats.replicas=1, or give a NATS cluster in nats.existingSecret.name." -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.checkNetwork" -}}
{{- $v := .Values -}}
{{- if not (or $v.bundled.minio.enabled $v.networkPolicy.objectStorage) -}}
{{- fail "Trainers could not reach the object store. Say where it is in networkPolicy.objectStorage, or set networkPolicy.enabled=false." -}}
{{- end -}}
{{- if not (and $v.bundled.mongodb.enabled $v.bundled.nats.enabled) -}}
{{- if not $v.networkPolicy.databases -}}
{{- fail "Services could not reach MongoDB or NATS. Say where they are in networkPolicy.databases, or set networkPolicy.enabled=false." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.checkPods" -}}
{{- $v := .Values -}}
{{- range $name, $service := $v.services -}}
{{- with $service.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "services.%s.autoscaling.minReplicas=%d is more than maxReplicas=%d. Lower it, or raise the other." $name (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.drain -}}
{{- if lt (int .terminationGracePeriodSeconds) (add 5 .preStopSeconds) -}}
{{- fail (printf "drain.preStopSeconds=%d leaves no time to finish calls: a pod is killed after drain.terminationGracePeriodSeconds=%d. Let that be longer by 5 or more." (int .preStopSeconds) (int .terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.models.create $v.models.existingClaim -}}
{{- fail "Both models.create and models.existingClaim are set. Set models.create=false, or leave models.existingClaim empty." -}}
{{- end -}}
{{- $seen := list -}}
{{- range $v.jobs.priorities -}}
{{- if has (int .atLeast) $seen -}}
{{- fail (printf "jobs.priorities has two entries with atLeast: %d. Keep one of them." (int .atLeast)) -}}
{{- end -}}
{{- $seen = append $seen (int .atLeast) -}}
{{- end -}}
{{- end }}

{{/* Refuses variables in services.*.env that the chart sets for that service. Takes a dict with "root", "service" and "own", the chart's. */}}
{{- define "finetuneflow.checkEnvironment" -}}
{{- $values := dict
  "FTF_DOCUMENTS" "documents" "FTF_OBJECTS" "objects.url" "FTF_NATS_URL" "nats" "FTF_NATS_REPLICAS" "nats.replicas"
  "AWS_ACCESS_KEY_ID" "objects.existingSecret" "AWS_SECRET_ACCESS_KEY" "objects.existingSecret"
  "FTF_TOKENS_DIR" "tokens.existingSecret" "FTF_SIGNING_KEY_FILE" "signingKey"
  "FTF_SERVICE_TOKEN_FILE" "auth.tokenReview" "FTF_SERVICE_ACCOUNTS" "auth.tokenReview"
  "FTF_ALLOW_HUB" "hub.allow" "FTF_HUB_TOKEN_FILE" "hub.existingSecret" "FTF_INVENTORY" "hardware.inventory"
  "FTF_OCR" "ocr.enabled" "FTF_OCR_LANGUAGES" "ocr.languages" "FTF_JOB_TEMPLATE" "jobs"
  "FTF_LLM_ALLOW" "llm.allow" "FTF_LLM_KEYS_DIR" "llm.existingSecret"
  "FTF_MAX_UPLOAD_BYTES" "settings.maxUploadBytes" "FTF_SWEEP_SECONDS" "settings.sweepSeconds"
  "FTF_LEASE_SECONDS" "settings.leaseSeconds" "FTF_DRAIN_SECONDS" "drain"
-}}
{{- $own := list -}}
{{- range .own }}{{ $own = append $own .name }}{{ end -}}
{{- range $name := keys ((index .root.Values.services .service).env | default dict) | sortAlpha -}}
{{- if and (has $name $own) (hasKey $values $name) -}}
{{- fail (printf "services.%s.env has %s, which the chart sets. Take it out, and set the value %s instead." $.service $name (get $values $name)) -}}
{{- else if has $name $own -}}
{{- fail (printf "services.%s.env has %s, which the chart sets itself. Take it out." $.service $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The addresses of llm.allow to whose port networkPolicy.llm opens no way, separated by blanks. A rule without ports, or with
a port that has a name, may lead anywhere.
*/}}
{{- define "finetuneflow.closedLlms" -}}
{{- if .Values.networkPolicy.enabled -}}
{{- $closed := list -}}
{{- range $address := .Values.llm.allow -}}
{{- $url := urlParse $address -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") | int -}}
{{- $open := false -}}
{{- range $rule := $.Values.networkPolicy.llm -}}
{{- if not $rule.ports }}{{ $open = true }}{{ end -}}
{{- range $rule.ports -}}
{{- if or (not .port) (kindIs "string" .port) -}}
{{- $open = true -}}
{{- else if and (le (int .port) $port) (ge (int (.endPort | default .port)) $port) -}}
{{- $open = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $open }}{{ $closed = append $closed $address }}{{ end -}}
{{- end -}}
{{- join " " $closed -}}
{{- end -}}
{{- end }}
