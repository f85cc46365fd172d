/** The most text of one event that is kept; a server that never ends an event must not fill the memory. */
const MOST_EVENT_CHARS = 4_000_000;

/**
 * Reads server-sent events from pieces of text that are cut anywhere.
 * Returns the data of each finished event; other fields are not needed here.
 */
export function createSseParser() {
  let rest = '';
  let data: string[] = [];
  let size = 0;
  return function push(piece: string): string[] {
    const finished: string[] = [];
    rest += piece;
    // A carriage return at the end may be the first half of a line end, so it waits for the next piece.
    const end = rest.endsWith('\r') ? rest.length - 1 : rest.length;
    const lines = rest.slice(0, end).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? '') + rest.slice(end);
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) finished.push(data.join('\n'));
        data = [];
        size = 0;
      } else if (line.startsWith('data:')) {
        const value = line.slice(line.startsWith('data: ') ? 6 : 5);
        size += value.length;
        data.push(value);
      }
    }
    if (rest.length + size > MOST_EVENT_CHARS) throw new Error('event too large');
    return finished;
  };
}
