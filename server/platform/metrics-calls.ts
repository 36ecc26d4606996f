import type { Code } from './errors.ts';
import { type ExpositionWriter, labelText, type Sample, sanitize } from './metrics-family.ts';
import { bucketOf, Latency, writeTimer } from './metrics-latency.ts';

export type CodeName = keyof typeof Code;

/** How a call came: REST, `call` over a socket, RPC over HTTP, RPC over a socket. */
export type Transport = 'api' | 'socket' | 'api_rpc' | 'ws_rpc';

/** Methods and RPC functions measured one by one; further ones are measured together as `other`. */
const maxMeters = 2000;

/** Calls of one kind. */
class CallStats {
  count = 0;
  errors = 0;
  receivedBytes = 0;
  sentBytes = 0;
  readonly latency = new Latency();

  add(isError: boolean, bucket: number, seconds: number, receivedBytes: number, sentBytes: number): void {
    this.count++;
    if (isError) this.errors++;
    this.receivedBytes += receivedBytes;
    this.sentBytes += sentBytes;
    this.latency.add(bucket, seconds);
  }
}

/** Records the calls of one method through one transport. Cheap: a call costs well under a microsecond. */
export class CallMeter {
  readonly #overall: CallStats;
  readonly #method: CallStats;
  readonly #byCode = new Map<CodeName, CallStats>();
  /** Labels without the code. */
  readonly labels: string;

  constructor(overall: CallStats, method: CallStats, labels: string) {
    this.#overall = overall;
    this.#method = method;
    this.labels = labels;
  }

  /**
   * @param code the outcome
   * @param seconds handling time
   * @param receivedBytes payload of the request
   * @param sentBytes payload of the response
   */
  record(code: CodeName, seconds: number, receivedBytes: number, sentBytes: number): void {
    const valid = Math.max(seconds, 0);
    const bucket = bucketOf(valid);
    const isError = code !== 'OK';
    let stats = this.#byCode.get(code);
    if (stats === undefined) {
      stats = new CallStats();
      this.#byCode.set(code, stats);
    }
    stats.add(isError, bucket, valid, receivedBytes, sentBytes);
    this.#method.add(isError, bucket, valid, receivedBytes, sentBytes);
    this.#overall.add(isError, bucket, valid, receivedBytes, sentBytes);
  }

  /** Outcomes so far, by their labels. */
  *outcomes(): Generator<readonly [string, CallStats]> {
    for (const [code, stats] of this.#byCode) yield [`${this.labels},rpc_code="${codeLabel(code)}"`, stats];
  }
}

/** `InvalidArgument` for INVALID_ARGUMENT, as dashboards of the reference expect. */
function codeLabel(code: CodeName): string {
  if (code === 'OK') return code;
  return code.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** All calls and socket messages of a node (spec: console-metrics.md, section 11.1). */
export class CallMetrics {
  readonly #requests = new CallStats();
  readonly #meters = new Map<string, CallMeter>();
  /** By the first part of the metric's name, then by labels. */
  readonly #methods = new Map<string, Map<string, CallStats>>();
  #messages = 0;
  #messageErrors = 0;
  #messageReceivedBytes = 0;
  #messageSentBytes = 0;

  /** The meter of a method or RPC function. Callers keep it. */
  meter(name: string, transport: Transport): CallMeter {
    const id = sanitize(this.#meters.size < maxMeters ? name : 'other');
    const key = `${transport} ${id}`;
    const known = this.#meters.get(key);
    if (known !== undefined) return known;
    const labels = labelText({ transport, rpc_id: id });
    const meter = new CallMeter(this.#requests, this.#method(id, transport), labels);
    this.#meters.set(key, meter);
    return meter;
  }

  #method(id: string, transport: Transport): CallStats {
    const isRpc = transport === 'api_rpc' || transport === 'ws_rpc';
    const name = isRpc ? 'Rpc' : id;
    const labels = isRpc ? labelText({ rpc_id: id }) : '';
    let byLabels = this.#methods.get(name);
    if (byLabels === undefined) {
      byLabels = new Map();
      this.#methods.set(name, byLabels);
    }
    let stats = byLabels.get(labels);
    if (stats === undefined) {
      stats = new CallStats();
      byLabels.set(labels, stats);
    }
    return stats;
  }

  messageReceived(bytes: number): void {
    this.#messages++;
    this.#messageReceivedBytes += bytes;
  }

  messageSent(bytes: number): void {
    this.#messageSentBytes += bytes;
  }

  messageFailed(): void {
    this.#messageErrors++;
  }

  /** @param nowMs monotonic milliseconds */
  async write(out: ExpositionWriter, nowMs: number): Promise<void> {
    await this.#writeOverall(out, nowMs);
    for (const [name, byLabels] of this.#methods) {
      writeStats(out, `${name}_`, `${name} calls`, [...byLabels]);
      const timers = [...byLabels].map(([labels, { latency }]) => [labels, latency] as const);
      await writeTimer(out, `${name}_latency_ms`, `Handling time of ${name} in seconds`, timers, nowMs);
    }
    const outcomes = [...this.#meters.values()].flatMap((meter) => [...meter.outcomes()]);
    writeStats(out, '', 'Calls by transport, method and outcome', outcomes, false);
    const timers = outcomes.map(([labels, { latency }]) => [labels, latency] as const);
    await writeTimer(out, 'latency', 'Handling time by transport, method and outcome, in seconds', timers, nowMs);
  }

  async #writeOverall(out: ExpositionWriter, nowMs: number): Promise<void> {
    const { count, errors, receivedBytes, sentBytes, latency } = this.#requests;
    const counter = (name: string, help: string, value: number): void =>
      out.add(name, 'counter', help, value > 0 ? [{ labels: '', value }] : []);
    counter('overall_count', 'Calls and socket messages', count + this.#messages);
    counter('overall_request_count', 'Calls', count);
    counter('overall_message_count', 'Messages received from sockets', this.#messages);
    counter('overall_errors', 'Failed calls and messages', errors + this.#messageErrors);
    counter('overall_request_errors', 'Failed calls', errors);
    counter('overall_message_errors', 'Messages that ended their socket', this.#messageErrors);
    counter('overall_recv_bytes', 'Payload bytes received', receivedBytes + this.#messageReceivedBytes);
    counter('overall_request_recv_bytes', 'Payload bytes received in calls', receivedBytes);
    counter('overall_message_recv_bytes', 'Payload bytes received from sockets', this.#messageReceivedBytes);
    counter('overall_sent_bytes', 'Payload bytes sent', sentBytes + this.#messageSentBytes);
    counter('overall_request_sent_bytes', 'Payload bytes sent in answers to calls', sentBytes);
    counter('overall_message_sent_bytes', 'Payload bytes sent to sockets', this.#messageSentBytes);
    await writeTimer(out, 'overall_latency_ms', 'Handling time of calls in seconds', [['', latency]], nowMs);
  }
}

/** @param hasErrors false where a label tells errors apart. */
function writeStats(
  out: ExpositionWriter,
  prefix: string,
  help: string,
  children: readonly (readonly [string, CallStats])[],
  hasErrors = true,
): void {
  const samples = (read: (stats: CallStats) => number): Sample[] =>
    children.map(([labels, stats]) => ({ labels, value: read(stats) })).filter(({ value }) => value > 0);
  out.add(
    `${prefix}count`,
    'counter',
    help,
    samples((stats) => stats.count),
  );
  out.add(
    `${prefix}recv_bytes`,
    'counter',
    `${help}: bytes received`,
    samples((stats) => stats.receivedBytes),
  );
  out.add(
    `${prefix}sent_bytes`,
    'counter',
    `${help}: bytes sent`,
    samples((stats) => stats.sentBytes),
  );
  if (!hasErrors) return;
  out.add(
    `${prefix}errors`,
    'counter',
    `${help}: failures`,
    samples((stats) => stats.errors),
  );
}
