import type { Bus } from '../../cluster/bus.ts';
import type { NodeDirectory, NodeId } from '../../cluster/nodes.ts';
import type { PresenceTracker } from '../../cluster/presence.ts';

export interface PresenceNode {
  readonly bus: Bus;
  readonly directory: NodeDirectory;
  readonly presence: PresenceTracker;
}

export interface PresenceCluster {
  /** Three started nodes. The first is never crashed. Nobody sweeps but the tests. */
  readonly nodes: readonly PresenceNode[];
  /** The time within which everything reaches everybody. */
  readonly settleMs: number;
  /** Ends a node as kill -9 would; what it was called is to be swept. */
  crash(index: number): Promise<NodeId>;
  /** Starts the crashed node again, under its name; `nodes` has the new one from then on. */
  restart(index: number): Promise<PresenceNode>;
  /** Lets the node stand still until the others have given it up, and run on with a new epoch; returns the lost one. */
  rejoin(index: number): Promise<NodeId>;
  close(): Promise<void>;
}
