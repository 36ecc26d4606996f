export interface StopSignals {
  /** Resolves when the process was asked to stop. */
  readonly requested: Promise<void>;
  /** Aborted when it was asked again: whoever asks does not want to wait any longer. */
  readonly insisted: AbortSignal;
}

/**
 * One Ctrl-C reaches a process several times when npm or tsx stands above it: from the terminal, and passed on. What
 * comes so soon after the first is the same request.
 */
const echoMs = 500;

/** Listens for SIGINT and SIGTERM: the first asks, the second insists, a third one ends the process on the spot. */
export function listenForStop(): StopSignals {
  const insistence = new AbortController();
  let request: (() => void) | undefined;
  const requested = new Promise<void>((resolve) => {
    request = resolve;
  });
  let count = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  const onSignal = (): void => {
    const now = performance.now();
    if (now - lastAt < echoMs) return;
    lastAt = now;
    count++;
    if (count === 1) request?.();
    else if (count === 2) insistence.abort();
    else process.exit(1);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return { requested, insisted: insistence.signal };
}

/** Asked by either. */
export function eitherStop(one: StopSignals, other: StopSignals): StopSignals {
  return {
    requested: Promise.race([one.requested, other.requested]),
    insisted: AbortSignal.any([one.insisted, other.insisted]),
  };
}
