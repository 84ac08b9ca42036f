// Prints what a server is: its version, its services, and the projects in it.
//
//   FTF_SERVER=127.0.0.1:9000 FTF_TOKEN=… node dist/src/serverinfo.js
//
// FTF_SERVER is host:port, or https://host[:port] for TLS with the system's certificates.

import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { ServerService } from "../gen/finetuneflow/common/v1/server_service_pb.js";
import { IngestService } from "../gen/finetuneflow/ingest/v1/ingest_service_pb.js";

const address = process.env["FTF_SERVER"] ?? "";
const authorized: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${process.env["FTF_TOKEN"] ?? ""}`);
  return next(request);
};
const transport = createGrpcTransport({
  baseUrl: address.includes("://") ? address : `http://${address}`,
  interceptors: [authorized],
  defaultTimeoutMs: 30_000,
});

const info = await createClient(ServerService, transport).getServerInfo({});
console.log(`version  ${info.version}`);
console.log(`services ${info.services.join(", ")}`);
const ingest = createClient(IngestService, transport);
let pageToken = "";
do {
  const page = await ingest.listProjects({ pageToken });
  for (const project of page.projects) console.log(`project  ${project.name}`);
  pageToken = page.nextPageToken;
} while (pageToken);
