import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';

/**
 * Records what became of requests; to be made once, in the init code of a scenario. It makes a Trend of every operation,
 * and the metrics `requests` and `failed`.
 * @param {string[]} operations
 * @returns {(operation: string, response: object, isRight: (body: object) => boolean) => boolean} records how long a
 *   response took, and answers whether its status and content are right
 */
export function requestRecorder(operations) {
  const trends = Object.fromEntries(operations.map((operation) => [operation, new Trend(operation, true)]));
  const requests = new Counter('requests');
  const failed = new Rate('failed');
  return (operation, response, isRight) => {
    trends[operation].add(response.timings.duration);
    const ok = check(response, {
      [`${operation} answers 200`]: ({ status }) => status === 200,
      [`${operation} answers the right content`]: ({ status }) => status === 200 && isRight(response.json()),
    });
    requests.add(1);
    failed.add(!ok);
    return ok;
  };
}

/** Less than 1 % failed, and 95 % of each operation answered within half a second. */
export function requestThresholds(operations) {
  const inTime = operations.map((operation) => [operation, ['p(95)<500']]);
  return { failed: ['rate<0.01'], ...Object.fromEntries(inTime) };
}

/** Names of the counts, for the report. */
export const requestCounts = ['requests', 'failed'];
