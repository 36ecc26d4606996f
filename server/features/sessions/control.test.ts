import { pino } from 'pino';
import { expect, it } from 'vitest';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { unavailable } from '../../platform/errors.ts';
import type { muster } from '../../wire/generated/messages.js';
import { Control } from './control.ts';

const log = pino({ level: 'silent' });
const content = { revocation: { user_id: 'ann' } };

/** A bus that does with a publication what the test says. */
class FaultyBus extends MemoryBus {
  readonly fault: () => Promise<void>;
  readonly #isWhole: boolean;

  constructor(fault: () => Promise<void>, isWhole: boolean) {
    super(new MemoryHub(), 'faulty', log);
    this.fault = fault;
    this.#isWhole = isWhole;
  }

  override get isWhole(): boolean {
    return this.#isWhole;
  }

  override publish(): Promise<void> {
    return this.fault();
  }
}

function listen(control: Control): muster.cluster.ControlFrame[] {
  const heard: muster.cluster.ControlFrame[] = [];
  control.onFrame((frame) => heard.push(frame));
  return heard;
}

const fail = (): Promise<void> => Promise.reject(unavailable('out of reach'));
const hang = (): Promise<void> => new Promise(() => {});

it('is heard by all nodes', async () => {
  const hub = new MemoryHub();
  const nodes = ['one', 'two'].map((name) => new Control(new MemoryBus(hub, name, log), log));
  const heard = nodes.map(listen);
  await Promise.all(nodes.map((control) => control.start()));
  await nodes[0]?.tell(content);
  await nodes[0]?.order(content);
  expect(heard[1]?.map(({ revocation }) => revocation?.user_id)).toEqual(['ann', 'ann']);
  expect(heard[0]?.[0]?.revocation?.user_id).toBe('ann');
  await Promise.all(nodes.map((control) => control.stop()));
  await nodes[0]?.tell(content);
  expect(heard[1]).toHaveLength(2);
});

it.each([
  ['fails', fail, true],
  ['is known to be broken', hang, false],
  ['hangs', hang, true],
])(
  'holds on this node at once when the bus %s, and the caller does not wait for long',
  async (_what, fault, isWhole) => {
    const control = new Control(new FaultyBus(fault, isWhole), log);
    const heard = listen(control);
    const since = performance.now();
    const told = control.tell(content);
    expect(heard).toHaveLength(1);
    await told;
    expect(performance.now() - since).toBeLessThan(1000);
  },
);

it('tells whoever gave an order that others may not have heard of it', async () => {
  const bus = new FaultyBus(fail, true);
  const control = new Control(bus, log);
  const heard = listen(control);
  await expect(control.order(content)).rejects.toThrow('out of reach');
  expect(heard).toHaveLength(1);
});
