/** What every scenario has k6 compute. */
export const trendStats = ['count', 'med', 'p(95)', 'p(99)', 'max'];

/**
 * The text that k6 prints at the end, for `handleSummary`: times in ms, counts with their rate, what failed.
 * @param {{ title: string, trends: string[], counts: string[], seconds: number }} what `seconds` is the time of load,
 *   which rates are computed over; k6 would take the whole run.
 */
export function report(data, { title, trends, counts, seconds }) {
  const isEmpty = trends.every((name) => (data.metrics[name]?.values.count ?? 0) === 0);
  if (isEmpty) return { stdout: `\n${title}: nothing was measured.\n\n` };
  const lines = ['', title, '', row(['ms', 'count', 'p50', 'p95', 'p99', 'max'])];
  for (const name of trends) {
    const { count = 0, med, 'p(95)': p95, 'p(99)': p99, max } = data.metrics[name]?.values ?? {};
    lines.push(row([name, count, ...[med, p95, p99, max].map((ms) => (count === 0 ? '-' : ms.toFixed(1)))]));
  }
  lines.push('');
  for (const name of counts) {
    // A counter has a count, a rate its passes.
    const { count, passes } = data.metrics[name]?.values ?? {};
    const total = count ?? passes ?? 0;
    lines.push(row([name, total, `${(total / seconds).toFixed(1)}/s`]));
  }
  const failed = failures(data);
  lines.push('', failed.length === 0 ? 'All thresholds met.' : 'FAILED:', ...failed.map((text) => `  ${text}`), '', '');
  return { stdout: lines.join('\n') };
}

function failures({ metrics, root_group: { checks } }) {
  const missed = Object.entries(metrics).flatMap(([name, { thresholds = {} }]) =>
    Object.entries(thresholds)
      .filter(([, { ok }]) => !ok)
      .map(([expression]) => `threshold ${name}: ${expression}`),
  );
  const failedChecks = checks.filter(({ fails }) => fails > 0);
  return [...missed, ...failedChecks.map(({ name, passes, fails }) => `${name}: ${fails} of ${passes + fails} not`)];
}

function row([name, ...values]) {
  return `  ${name.padEnd(16)}${values.map((value) => String(value).padStart(10)).join('')}`;
}
