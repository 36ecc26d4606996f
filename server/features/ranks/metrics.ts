import type { Metrics, Tally } from '../../platform/metrics.ts';

export interface RankMetrics {
  readonly fromIndex: Tally;
  readonly fromTable: Tally;
  readonly built: Tally;
  /** Entries that were found to differ from the table, and put right. */
  readonly drift: Tally;
  readonly checked: Tally;
}

export function rankMetrics(metrics: Metrics): RankMetrics {
  const answers = metrics.counter('rank_answers_total', 'Questions about ranks, by what answered them', ['source']);
  return {
    fromIndex: answers.child('index'),
    fromTable: answers.child('table'),
    built: metrics.counter('rank_builds_total', 'Rank indexes built').child(),
    drift: metrics.counter('rank_drift_total', 'Entries of rank indexes that differed from the table').child(),
    checked: metrics.counter('rank_checked_total', 'Entries of rank indexes compared with the table').child(),
  };
}
