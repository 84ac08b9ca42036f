{{/* Which service of the contract is answered where, for a client that knows one address only. */}}
{{- define "finetuneflow.routes" -}}
finetuneflow.ingest.v1.IngestService: ingest
finetuneflow.dataset.v1.DatasetService: dataset
finetuneflow.hardware.v1.HardwareService: hardware
finetuneflow.training.v1.TrainingService: training
finetuneflow.export.v1.ExportService: export
# Every service answers these; clients ask training, the one that the others lead to. The worker contract has no route:
# trainers run inside the cluster and need none.
finetuneflow.common.v1.ServerService: training
grpc.health.v1.Health: training
grpc.reflection.v1.ServerReflection: training
grpc.reflection.v1alpha.ServerReflection: training
{{- end }}
