import type { Option } from './config-option.ts';
import { maxWorkers } from './config-workers.ts';

/** Top level, logger and metrics (spec: http-auth-accounts.md, section 7.1). */
export const serverOptions = [
  {
    key: 'name',
    type: 'string',
    default: 'nakama',
    minLength: 1,
    maxLength: 16,
    description: 'Name of this node, unique in the cluster. 1-16 characters.',
  },
  {
    key: 'dev',
    type: 'bool',
    default: false,
    description: 'Development mode: public default secrets are only warned about, and migrations run at start.',
  },
  {
    key: 'config',
    type: 'string[]',
    default: [],
    description: 'YAML files to read, later ones win. Repeat the flag for several.',
  },
  {
    key: 'workers',
    type: 'int',
    default: 1,
    min: 0,
    max: maxWorkers,
    description:
      'Processes on this machine that share the port, each a node of its own; 0 is one per CPU core. More than one need Redis.',
  },
  {
    key: 'data_dir',
    type: 'string',
    default: './data',
    minLength: 1,
    description: 'Writable folder for what the server keeps on disk, such as the embedded database.',
  },
  {
    key: 'shutdown_grace_sec',
    type: 'int',
    default: 0,
    min: 0,
    description:
      'Seconds to let matches and the shutdown hook finish after SIGINT or SIGTERM. A second signal ends the wait.',
  },
  {
    key: 'limit',
    type: 'int',
    default: -1,
    min: -1,
    description: 'How many migrations the migrate command applies or reverts; -1 is the default of each subcommand.',
  },
  {
    key: 'logger.level',
    type: 'enum',
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
    description: 'Least severe level that is written.',
  },
  {
    key: 'logger.stdout',
    type: 'bool',
    default: true,
    description: 'Write the log to standard output. When off and no file is named, nothing is written.',
  },
  {
    key: 'logger.file',
    type: 'string',
    default: '',
    description: 'File that the log is appended to, in addition to standard output.',
  },
  {
    key: 'logger.format',
    type: 'enum',
    default: 'json',
    choices: ['json', 'stackdriver'],
    description: 'One JSON object per line: our own keys, or those of Google Cloud logging.',
  },
  {
    key: 'metrics.prometheus_port',
    type: 'int',
    default: 0,
    min: 0,
    max: 65535,
    description:
      'Port of the Prometheus exposition; 0 turns it off. With several workers the first takes it, and the others those that follow.',
  },
  {
    key: 'metrics.prefix',
    type: 'string',
    default: 'nakama',
    description: 'First part of every metric name.',
  },
  {
    key: 'metrics.namespace',
    type: 'string',
    default: '',
    description: 'Value of the `namespace` label on every metric; empty leaves the label out.',
  },
] as const satisfies readonly Option[];
