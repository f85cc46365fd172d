import { RouterError } from '../../api/errors';
import { createSseParser } from './sse';

export interface ChatMessage {
  role: 'user' | 'assistant' | 'system';
  content: string;
}

export interface StreamRequest {
  token: string;
  model: string;
  messages: ChatMessage[];
  /** Not an answer that was given before. */
  fresh: boolean;
  signal: AbortSignal;
  onText: (text: string) => void;
  /** The budget that is left, as the server said when the answer began. */
  onBudget: (remaining: number) => void;
}

/** How the answer ended: `length` at the output limit, `broken` without a proper end. */
export type StreamEnd = 'stop' | 'length' | 'broken';

/** Asks for a streamed answer and hands on its text as it comes. Refusals are thrown as RouterError. */
export async function streamChat(request: StreamRequest): Promise<StreamEnd> {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${request.token}`,
      'Content-Type': 'application/json',
      Accept: 'text/event-stream',
      ...(request.fresh && { 'Cache-Control': 'no-cache' }),
    },
    body: JSON.stringify({ model: request.model, messages: request.messages, stream: true }),
    signal: request.signal,
  });
  if (!response.ok || !response.body) throw await refusal(response);
  const remaining = Number(response.headers.get('x-cf-budget-remaining') ?? Number.NaN);
  if (Number.isFinite(remaining)) request.onBudget(remaining);

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parse = createSseParser();
  let end: StreamEnd = 'broken';
  for (;;) {
    const { done, value } = await reader.read();
    const events = parse(done ? `${decoder.decode()}\n\n` : decoder.decode(value, { stream: true }));
    for (const event of events) {
      if (event === '[DONE]') return end === 'broken' ? 'stop' : end;
      const { text, finish } = readChunk(event);
      if (text) request.onText(text);
      if (finish) end = finish === 'length' ? 'length' : 'stop';
    }
    if (done) return end;
  }
}

interface Chunk {
  choices?: { delta?: { content?: unknown }; finish_reason?: string | null }[];
  error?: { message?: string; code?: string | null; type?: string };
}

/** One event of the stream. An error in the middle of a stream comes as an event of its own. */
export function readChunk(event: string): { text: string; finish: string | null } {
  let chunk: Chunk;
  try {
    chunk = JSON.parse(event) as Chunk;
  } catch {
    return { text: '', finish: null };
  }
  if (chunk.error)
    throw new RouterError(502, chunk.error.code ?? chunk.error.type ?? '', chunk.error.message ?? '');
  const choice = chunk.choices?.[0];
  const content = choice?.delta?.content;
  return { text: typeof content === 'string' ? content : '', finish: choice?.finish_reason ?? null };
}

/** A refusal in OpenAI's shape, or whatever stands in its place. */
export async function refusal(response: Response): Promise<RouterError> {
  const wait = Number(response.headers.get('retry-after') ?? Number.NaN);
  let error: { message?: string; code?: string | null; type?: string } = {};
  try {
    const body = (await response.json()) as { error?: typeof error; message?: string };
    error = body.error ?? { message: body.message };
  } catch {
    // A proxy may answer with a page of its own; the status then has to do.
    if (response.status >= 502) error = { message: '' };
  }
  return new RouterError(
    response.status,
    error.code ?? error.type ?? '',
    error.message ?? `HTTP ${response.status}`,
    Number.isFinite(wait) && wait > 0 ? Math.ceil(wait) : undefined,
  );
}
