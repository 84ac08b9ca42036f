{{/* The bundled proxy's configuration: what the GRPCRoute says, for one Envoy. */}}
{{- define "finetuneflow.envoy" -}}
static_resources:
  listeners:
    - name: grpc
      address: {socket_address: {address: {{ .Values.ipv6 | ternary "\"::\"" "0.0.0.0" }}, port_value: 9000}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: grpc
                codec_type: AUTO
                # Watching a run takes as long as the run.
                stream_idle_timeout: 0s
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config:
                  virtual_hosts:
                    - name: finetuneflow
                      domains: ["*"]
                      routes:
                        {{- range $method, $target := include "finetuneflow.routes" . | fromYaml }}
                        - match: {prefix: /{{ $method }}/, grpc: {}}
                          route: {cluster: {{ $target }}, timeout: 0s}
                        {{- end }}
  clusters:
    {{- range $service := (include "finetuneflow.services" . | splitList " ") }}
    - name: {{ $service }}
      type: STRICT_DNS
      dns_lookup_family: ALL
      connect_timeout: 2s
      lb_policy: ROUND_ROBIN
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment:
        cluster_name: {{ $service }}
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address:
                    socket_address:
                      address: {{ include "finetuneflow.host" (dict "root" $ "service" $service) }}
                      port_value: 9000
    {{- end }}
{{- end }}
