import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bus, maxFrameBytes, type Subscription } from '../../cluster/bus.ts';
import { AppError, Code, RealtimeCode } from '../../platform/errors.ts';
import { at, eventually, Random, rejection } from './support.ts';

export interface BusCluster {
  /** Three nodes that can hear each other. */
  readonly buses: readonly Bus[];
  /** The time within which everything reaches everybody. */
  readonly settleMs: number;
  /** Ends a node as kill -9 would. */
  crash(index: number): Promise<void>;
  /** Lines logged as errors, on all nodes. */
  loggedErrors(): number;
  close(): Promise<void>;
}

export function busContract(name: string, makeCluster: () => Promise<BusCluster>): void {
  describe(`bus: ${name}`, () => {
    let cluster: BusCluster;
    let a: Bus;
    let b: Bus;
    let c: Bus;

    beforeEach(async () => {
      cluster = await makeCluster();
      [a, b, c] = [at(cluster.buses, 0), at(cluster.buses, 1), at(cluster.buses, 2)];
    });
    afterEach(() => cluster.close());

    const heardBy = async (bus: Bus, topic: string): Promise<string[]> => {
      const heard: string[] = [];
      await bus.subscribe(topic, (frame) => heard.push(text(frame)));
      return heard;
    };

    it('hands a frame once to every subscribed node, the publisher included, and to no other topic', async () => {
      const heard = await Promise.all([a, b, c].map((bus) => heardBy(bus, 'x')));
      const other = await heardBy(b, 'x.y');
      await a.publish('x', bytes('1'));
      await c.publish('x', bytes('2'));
      await eventually(cluster.settleMs, () => expect(heard).toEqual([0, 1, 2].map(() => ['1', '2'])));
      await b.publish('x.y', bytes('end'));
      await eventually(cluster.settleMs, () => expect(other).toEqual(['end']));
      expect(heard).toEqual([0, 1, 2].map(() => ['1', '2']));
    });

    it('publishes to a topic that nobody hears', async () => {
      await a.publish('nobody', bytes('1'));
    });

    it('resolves a publication after its own subscribers were called', async () => {
      const first = await heardBy(a, 'x');
      const second = await heardBy(a, 'x');
      for (let i = 0; i < 50; i++) {
        await a.publish('x', bytes(`${i}`));
        expect(first).toHaveLength(i + 1);
        expect(second).toHaveLength(i + 1);
      }
    });

    it('misses nothing once a subscription is there', async () => {
      for (let i = 0; i < 20; i++) {
        const heard = await heardBy(b, `x${i}`);
        await a.publish(`x${i}`, bytes('1'));
        await eventually(cluster.settleMs, () => expect(heard).toEqual(['1']));
      }
    });

    it('shows all subscribers one order, and keeps that of each publisher', async () => {
      const heard = await Promise.all([a, b, c, c].map((bus) => heardBy(bus, 'x')));
      const random = new Random(7);
      const sent: Promise<void>[] = [];
      const next = [0, 0, 0];
      for (let i = 0; i < 600; i++) {
        const from = random.below(3);
        sent.push(at(cluster.buses, from).publish('x', bytes(`${from}:${at(next, from)}`)));
        next[from] = at(next, from) + 1;
        if (random.chance(0.02)) await Promise.all(sent);
      }
      await Promise.all(sent);
      await eventually(cluster.settleMs, () =>
        expect(heard.map((frames) => frames.length)).toEqual([600, 600, 600, 600]),
      );
      for (const frames of heard) expect(frames).toEqual(heard[0]);
      for (const from of [0, 1, 2]) {
        const own = at(heard, 0).filter((frame) => frame.startsWith(`${from}:`));
        expect(own).toEqual(own.map((_, i) => `${from}:${i}`));
      }
    });

    it('puts what is published later after what is acknowledged, whoever publishes', async () => {
      const heard = await heardBy(c, 'x');
      for (let i = 0; i < 60; i++) await at(cluster.buses, i % 3).publish('x', bytes(`${i}`));
      await eventually(cluster.settleMs, () => expect(heard).toEqual(heard.map((_, i) => `${i}`)));
      await eventually(cluster.settleMs, () => expect(heard).toHaveLength(60));
    });

    it('keeps one order when a handler publishes', async () => {
      const replies: Promise<void>[] = [];
      await a.subscribe('x', (frame) => {
        if (text(frame) === 'ask') replies.push(a.publish('x', bytes('first')), a.publish('x', bytes('second')));
      });
      const heard = await Promise.all([a, b].map((bus) => heardBy(bus, 'x')));
      await a.publish('x', bytes('ask'));
      await Promise.all(replies);
      expect(heard[0]).toEqual(['ask', 'first', 'second']);
      await eventually(cluster.settleMs, () => expect(heard[1]).toEqual(['ask', 'first', 'second']));
    });

    it('calls a handler no more once its subscription is closed, and leaves the others alone', async () => {
      const closed: string[] = [];
      const subscription = await a.subscribe('x', (frame) => closed.push(text(frame)));
      const heard = await heardBy(a, 'x');
      await b.publish('x', bytes('1'));
      await eventually(cluster.settleMs, () => expect([closed, heard]).toEqual([['1'], ['1']]));
      await subscription.close();
      await subscription.close();
      await b.publish('x', bytes('2'));
      await a.publish('x', bytes('3'));
      await eventually(cluster.settleMs, () => expect(heard).toEqual(['1', '2', '3']));
      expect(closed).toEqual(['1']);
    });

    it('calls a handler no more when another one closes it over the same frame', async () => {
      const calls: string[] = [];
      const subscriptions: Subscription[] = [];
      for (const own of ['first', 'second']) {
        const subscription = await a.subscribe('x', () => {
          calls.push(own);
          for (const one of subscriptions) void one.close();
        });
        subscriptions.push(subscription);
      }
      await a.publish('x', bytes('1'));
      await a.publish('x', bytes('2'));
      expect(calls).toHaveLength(1);
    });

    it('subscribes again after the last subscription was closed, also at the same time', async () => {
      for (let i = 0; i < 20; i++) {
        const subscription = await a.subscribe('x', () => {});
        const closing = subscription.close();
        const heard: string[] = [];
        const again = await a.subscribe('x', (frame) => heard.push(text(frame)));
        await closing;
        await b.publish('x', bytes(`${i}`));
        await eventually(cluster.settleMs, () => expect(heard).toEqual([`${i}`]));
        await again.close();
      }
    });

    it('logs what a handler throws and goes on', async () => {
      await a.subscribe('x', () => {
        throw new Error('planted');
      });
      const heard = await heardBy(a, 'x');
      await a.publish('x', bytes('1'));
      await a.publish('x', bytes('2'));
      expect(heard).toEqual(['1', '2']);
      expect(cluster.loggedErrors()).toBe(2);
    });

    it('carries any bytes up to the limit, and refuses more', async () => {
      const heard: Uint8Array[] = [];
      await b.subscribe('x', (frame) => heard.push(frame));
      const frames = [
        new Uint8Array(0),
        Uint8Array.from({ length: 256 }, (_, i) => i),
        new Uint8Array(maxFrameBytes).fill(255),
      ];
      for (const frame of frames) await a.publish('x', frame);
      await eventually(cluster.settleMs, () => expect(heard).toHaveLength(3));
      for (const [i, frame] of frames.entries()) expect(Buffer.compare(frame, at(heard, i))).toBe(0);
      await rejection(a.publish('x', new Uint8Array(maxFrameBytes + 1)), Code.INVALID_ARGUMENT);
      await rejection(a.ask(b.node, 'k', new Uint8Array(maxFrameBytes + 1), 1000), Code.INVALID_ARGUMENT);
    });

    it('brings questions to the node and answers back, also to itself', async () => {
      for (const bus of [a, b]) bus.answer('echo', async (body, from) => bytes(`${text(body)} ${from} ${bus.node}`));
      expect(text(await a.ask(b.node, 'echo', bytes('1'), 2000))).toBe(`1 ${a.node} ${b.node}`);
      expect(text(await c.ask(a.node, 'echo', bytes('2'), 2000))).toBe(`2 ${c.node} ${a.node}`);
      expect(text(await a.ask(a.node, 'echo', bytes('3'), 2000))).toBe(`3 ${a.node} ${a.node}`);
      expect((await a.ask(b.node, 'echo', new Uint8Array(0), 2000)).byteLength).toBeGreaterThan(0);
    });

    it('matches answers with questions when many are open, and keeps the order of questions', async () => {
      const asked: number[] = [];
      b.answer('slow', async (body) => {
        asked.push(Number(text(body)));
        await new Promise((done) => setTimeout(done, Number(text(body)) % 7));
        return body;
      });
      const numbers = Array.from({ length: 300 }, (_, i) => i);
      const answers = await Promise.all(numbers.map((i) => a.ask(b.node, 'slow', bytes(`${i}`), 5000)));
      expect(answers.map((answer) => Number(text(answer)))).toEqual(numbers);
      expect(asked).toEqual(numbers);
    });

    it('finds an unknown or dead node unavailable, by the deadline at the latest', async () => {
      b.answer('echo', async (body) => body);
      const start = performance.now();
      const unknown = await rejection(a.ask('nobody', 'echo', bytes('1'), 500), Code.UNAVAILABLE);
      expect(unknown.retry).not.toBe('no');
      await cluster.crash(1);
      await rejection(a.ask(b.node, 'echo', bytes('1'), 500), Code.UNAVAILABLE);
      expect(performance.now() - start).toBeLessThan(1500);
    });

    it('does not leave a question open when the node dies over it', async () => {
      let reached = false;
      b.answer('never', () => {
        reached = true;
        return new Promise(() => {});
      });
      const answer = rejection(a.ask(b.node, 'never', bytes('1'), 700), Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED);
      await eventually(cluster.settleMs, () => expect(reached).toBe(true));
      await cluster.crash(1);
      expect((await answer).retry).toBe('unknown');
    });

    it('ends a question at its deadline, and drops the late answer', async () => {
      let answerNow = (): void => {};
      b.answer('late', (body) => new Promise((resolve) => (answerNow = () => resolve(body))));
      b.answer('echo', async (body) => body);
      const start = performance.now();
      const error = await rejection(a.ask(b.node, 'late', bytes('1'), 100), Code.DEADLINE_EXCEEDED);
      expect(error.retry).toBe('unknown');
      expect(performance.now() - start).toBeGreaterThan(80);
      expect(performance.now() - start).toBeLessThan(1000);
      answerNow();
      expect(text(await a.ask(b.node, 'echo', bytes('2'), 2000))).toBe('2');
    });

    it('says so when a node does not know the kind of question', async () => {
      await rejection(a.ask(b.node, 'unheard of', bytes('1'), 2000), Code.UNIMPLEMENTED);
    });

    it('carries the AppError of the other side, and hides any other error', async () => {
      b.answer('full', async () => {
        throw new AppError(Code.RESOURCE_EXHAUSTED, 'match is full', {
          retry: 'no',
          realtimeCode: RealtimeCode.MATCH_JOIN_REJECTED,
        });
      });
      b.answer('broken', async () => {
        throw new Error('password is hunter2');
      });
      b.answer('thrown', () => {
        throw new AppError(Code.ABORTED, 'at once', { retry: 'safe' });
      });
      const full = await rejection(a.ask(b.node, 'full', bytes('1'), 2000), Code.RESOURCE_EXHAUSTED);
      expect([full.message, full.retry, full.realtimeCode]).toEqual([
        'match is full',
        'no',
        RealtimeCode.MATCH_JOIN_REJECTED,
      ]);
      const broken = await rejection(a.ask(b.node, 'broken', bytes('1'), 2000), Code.INTERNAL);
      expect(broken.message).not.toContain('hunter2');
      expect(cluster.loggedErrors()).toBe(1);
      const thrown = await rejection(a.ask(b.node, 'thrown', bytes('1'), 2000), Code.ABORTED);
      expect([thrown.message, thrown.retry]).toEqual(['at once', 'safe']);
    });

    it('takes an answer above the limit for the fault of the other side', async () => {
      b.answer('huge', async () => new Uint8Array(maxFrameBytes + 1));
      await rejection(a.ask(b.node, 'huge', bytes('1'), 2000), Code.INTERNAL);
    });

    it('takes one handler per kind', () => {
      a.answer('k', async (body) => body);
      expect(() => a.answer('k', async (body) => body)).toThrow();
    });

    it('rejects what is pending when it closes, and everything after; the others go on', async () => {
      b.answer('never', () => new Promise(() => {}));
      const heardA = await heardBy(a, 'x');
      const heardB = await heardBy(b, 'x');
      const pending = rejection(a.ask(b.node, 'never', bytes('1'), 5000), Code.UNAVAILABLE);
      await a.close();
      await a.close();
      await pending;
      await rejection(a.publish('x', bytes('1')), Code.UNAVAILABLE);
      await rejection(
        a.subscribe('x', () => {}),
        Code.UNAVAILABLE,
      );
      await rejection(a.ask(b.node, 'never', bytes('1'), 1000), Code.UNAVAILABLE);
      await rejection(b.ask(a.node, 'echo', bytes('1'), 500), Code.UNAVAILABLE);
      await c.publish('x', bytes('2'));
      await eventually(cluster.settleMs, () => expect(heardB).toEqual(['2']));
      expect(heardA).toEqual([]);
    });

    it('speaks of no gap and drops nothing while nothing happens', async () => {
      let gaps = 0;
      for (const bus of [a, b, c]) bus.onGap(() => void gaps++);
      const heard = await heardBy(b, 'x');
      for (let i = 0; i < 20; i++) await a.publish('x', bytes(`${i}`));
      await eventually(cluster.settleMs, () => expect(heard).toHaveLength(20));
      expect([gaps, a.droppedFrames, b.droppedFrames]).toEqual([0, 0, 0]);
    });
  });
}

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const text = (frame: Uint8Array): string => new TextDecoder().decode(frame);
