/** One life of a node: a restarted or rejoined node has the same name and a greater epoch. */
export interface NodeId {
  readonly name: string;
  /** Greater than every earlier epoch of that name; 0 before the first start. */
  readonly epoch: number;
}

export interface NodeInfo extends NodeId {
  /** Unix milliseconds of this epoch's start, by the node's clock. */
  readonly startedAt: number;
  /** Where other nodes could reach it directly, if it said so. */
  readonly address?: string;
}

/** Why an epoch ended: it said goodbye, it stopped giving signs of life, or its name was started again. */
export type GoneCause = 'left' | 'died' | 'replaced';

/** Why this node lost its own epoch: the others gave it up, or another process has started under its name. */
export type LostCause = 'died' | 'replaced';

/**
 * Which nodes are there. A node that is killed or cut off disappears within the dead time; one that leaves or is
 * started again disappears at once. At most one epoch of a name is listed at any time.
 */
export interface NodeDirectory {
  /** This node's present life; the epoch changes when the node rejoins. */
  readonly self: NodeId;

  /**
   * Joins with a new epoch. An earlier epoch of the same name that is still listed is replaced, and everybody is told,
   * this node too: it may be the only one there to clean up after itself. Harmless when started already. Add the
   * listeners before.
   */
  start(): Promise<void>;

  /** Leaves; the others are told at once. Harmless when not started. */
  stop(): Promise<void>;

  /** Every live node, this one included, sorted by name. */
  list(): Promise<NodeInfo[]>;

  /**
   * Called on every live node once for each epoch of another node that ended while this one was in the cluster (and
   * for this node's own earlier epoch, see `start`). Several nodes hear of the same end, at different moments: what
   * they do about it must be harmless when done twice.
   */
  onGone(listener: (node: NodeId, cause: GoneCause) => void): void;

  /**
   * Called when this node finds that its epoch was ended by others, so that what it held is theirs by now. When it was
   * given up for dead ('died') it has already rejoined: `self` is the new epoch and `lost` the old one. When its name
   * was taken ('replaced') it stays out, for two processes would throw each other out for ever.
   */
  onSelfLost(listener: (lost: NodeId, cause: LostCause) => void): void;
}
