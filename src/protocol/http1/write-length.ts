import type { Connection } from "../../net/connection.ts";

/** Writes a Content-Length field line, without making a text of it all. */
export function writeLength(connection: Connection, octets: number): void {
  connection.writeText("content-length: ");
  connection.writeText(String(octets));
  connection.writeText("\r\n");
}
