// The service that the peers of the gRPC tests speak. Messages are texts; there is no proto file to compile.
const text = {
  requestSerialize: (value) => Buffer.from(value),
  requestDeserialize: (octets) => octets.toString(),
  responseSerialize: (value) => Buffer.from(value),
  responseDeserialize: (octets) => octets.toString(),
};
const method = (name, requestStream, responseStream) => ({
  path: `/test.Peer/${name}`,
  requestStream,
  responseStream,
  ...text,
});

export const Peer = {
  Echo: method("Echo", false, false),
  Fail: method("Fail", false, false),
  Hang: method("Hang", false, false),
  Seen: method("Seen", false, false),
  Count: method("Count", true, false),
  List: method("List", false, true),
  Endless: method("Endless", false, true),
  Cut: method("Cut", false, true),
  Reset: method("Reset", false, true),
  Chat: method("Chat", true, true),
};

const octets = {
  requestSerialize: (value) => value,
  requestDeserialize: (value) => value,
  responseSerialize: (value) => value,
  responseDeserialize: (value) => value,
};

export const Health = {
  Check: { path: "/grpc.health.v1.Health/Check", requestStream: false, responseStream: false, ...octets },
};
