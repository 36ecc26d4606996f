// Players as the benchmarks need them, and what a process has used so far. The latter on Linux only, because of /proc.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

/** What Linux counts CPU time in, per second. */
const ticksPerSecond = 100;

/** Signs a new device in; answers its session token. */
export async function signIn(url: string, key = 'defaultkey'): Promise<string> {
  const response = await fetch(`${url}/v2/account/authenticate/device`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${key}:`)}` },
    body: JSON.stringify({ id: randomUUID() }),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { token: string }).token;
}

/** Opens a protobuf socket. @param status whether it appears online */
export async function openSocket(url: string, token: string, { status = false } = {}): Promise<WebSocket> {
  const query = `format=protobuf&status=${status}&token=${token}`;
  const options = { perMessageDeflate: false, skipUTF8Validation: true };
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?${query}`, options);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return socket;
}

/** Runs `work` on every item, so many at a time. */
export async function eachOf<T>(items: readonly T[], concurrency: number, work: (item: T) => Promise<void>) {
  const left = items.values();
  const workers = Array.from({ length: concurrency }, async () => {
    for (const item of left) await work(item);
  });
  await Promise.all(workers);
}

/** CPU seconds of a process so far. */
export function cpuSeconds(pid: string): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export type ClientOrder = 'open' | 'close' | 'count';

export interface Clients {
  readonly userIds: readonly string[];
  /** Has the order carried out; answers how many notifications all of them have heard so far. */
  order(order: ClientOrder): Promise<number>;
  stop(): void;
}

/** Players who are signed in, in a process of their own, so that what they cost is not taken for the server's. */
export async function startClients(url: string, count: number): Promise<Clients> {
  const child = fork(fileURLToPath(new URL('./bench-clients.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, BENCH_URL: url, BENCH_COUNT: String(count) },
  });
  const [userIds] = (await once(child, 'message')) as [string[]];
  return {
    userIds,
    async order(order) {
      child.send(order);
      return ((await once(child, 'message')) as [number])[0];
    },
    stop: () => void child.kill(),
  };
}
