/** What the peer said about itself (RFC 9113 §6.5). */
import { ConnectionError, ErrorCode } from "./error-code.ts";
import {
  DEFAULT_WINDOW_OCTETS,
  LEAST_MAX_FRAME_OCTETS,
  MAX_WINDOW_OCTETS,
  MOST_MAX_FRAME_OCTETS,
  Setting,
} from "./frame.ts";

export class PeerSettings {
  headerTableOctets = 4096;
  /** The smallest value in the last frame: also of that its encoder must tell the peer (RFC 7541 §4.2). */
  leastHeaderTableOctets = 4096;
  enablePush = true;
  /** Streams that we may have open. */
  maxStreams = Infinity;
  initialWindowOctets = DEFAULT_WINDOW_OCTETS;
  maxFrameOctets = LEAST_MAX_FRAME_OCTETS;
  maxHeaderListOctets = Infinity;
  /** RFC 8441 §3 */
  enableConnectProtocol = false;

  /**
   * Takes the payload of a SETTINGS frame; what it does not know it ignores (RFC 9113 §6.5.2).
   * @param isServer the peer is one
   * @throws {ConnectionError} PROTOCOL_ERROR or FLOW_CONTROL_ERROR
   */
  apply(octets: Buffer, start: number, end: number, isServer: boolean): void {
    this.leastHeaderTableOctets = Infinity;
    for (let at = start; at < end; at += 6) {
      const value = octets.readUInt32BE(at + 2);
      switch (octets.readUInt16BE(at)) {
        case Setting.headerTableSize:
          this.headerTableOctets = value;
          this.leastHeaderTableOctets = Math.min(this.leastHeaderTableOctets, value);
          break;
        case Setting.enablePush:
          if (value > 1 || (isServer && value === 1)) throw badValue("ENABLE_PUSH", value);
          this.enablePush = value === 1;
          break;
        case Setting.maxConcurrentStreams:
          this.maxStreams = value;
          break;
        case Setting.initialWindowSize:
          if (value > MAX_WINDOW_OCTETS)
            throw new ConnectionError(ErrorCode.flowControl, `INITIAL_WINDOW_SIZE of ${value} (RFC 9113 §6.5.2)`);
          this.initialWindowOctets = value;
          break;
        case Setting.maxFrameSize:
          if (value < LEAST_MAX_FRAME_OCTETS || value > MOST_MAX_FRAME_OCTETS) throw badValue("MAX_FRAME_SIZE", value);
          this.maxFrameOctets = value;
          break;
        case Setting.maxHeaderListSize:
          this.maxHeaderListOctets = value;
          break;
        case Setting.enableConnectProtocol:
          if (value > 1 || (value === 0 && this.enableConnectProtocol))
            throw badValue("ENABLE_CONNECT_PROTOCOL", value);
          this.enableConnectProtocol = value === 1;
          break;
      }
    }
  }
}

const badValue = (name: string, value: number): ConnectionError =>
  new ConnectionError(ErrorCode.protocol, `${name} of ${value} (RFC 9113 §6.5.2)`);
