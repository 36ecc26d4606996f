/**
 * How many characters have to be put in, taken out or changed to make one text of the other; undefined when it is more
 * than `max`. Takes time in proportion to the length and `max`.
 */
export function editDistance(a: readonly string[], text: string, max: number): number | undefined {
  // A character has at most two units.
  if (text.length > 2 * (a.length + max)) return undefined;
  const b = [...text];
  if (Math.abs(a.length - b.length) > max) return undefined;
  const tooMuch = max + 1;
  const row = Array.from({ length: b.length + 1 }, (_, index) => Math.min(index, tooMuch));
  for (const [i, character] of a.entries()) {
    // Farther from the diagonal it is too much in any case.
    const from = Math.max(0, i - max);
    let diagonal = row[from] as number;
    row[from] = from === 0 ? Math.min(i + 1, tooMuch) : tooMuch;
    for (let j = from; j < Math.min(b.length, i + max + 1); j++) {
      const above = row[j + 1] as number;
      row[j + 1] = Math.min(diagonal + (character === b[j] ? 0 : 1), above + 1, (row[j] as number) + 1, tooMuch);
      diagonal = above;
    }
  }
  const distance = row[b.length] as number;
  return distance <= max ? distance : undefined;
}
