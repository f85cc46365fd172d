import { afterEach, describe, expect, it, vi } from 'vitest';
import { RouterError } from '../../api/errors';
import { readChunk, streamChat } from './stream';

afterEach(() => vi.unstubAllGlobals());

async function run(body: string | null, init?: ResponseInit, fresh = false) {
  const sent = vi.fn(async (_url: string, _init: RequestInit) => new Response(body, init));
  vi.stubGlobal('fetch', sent);
  let text = '';
  let remaining: number | undefined;
  const end = await streamChat({
    token: 't',
    model: 'm',
    messages: [],
    fresh,
    signal: new AbortController().signal,
    onText: (piece) => {
      text += piece;
    },
    onBudget: (value) => {
      remaining = value;
    },
  });
  return { text, remaining, end, headers: new Headers(sent.mock.lastCall?.[1].headers) };
}

const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ delta: { content }, finish_reason: finish }] })}\n\n`;

describe('streamChat', () => {
  it('hands on text and budget', async () => {
    const answer = await run(`${chunk('Hällo ')}${chunk('Welt', 'stop')}data: [DONE]\n\n`, {
      headers: { 'x-cf-budget-remaining': '1.25' },
    });
    expect(answer).toMatchObject({ text: 'Hällo Welt', remaining: 1.25, end: 'stop' });
  });

  it('asks anew where it is asked again', async () => {
    const done = `${chunk('a', 'stop')}data: [DONE]\n\n`;
    expect((await run(done)).headers.get('cache-control')).toBeNull();
    expect((await run(done, undefined, true)).headers.get('cache-control')).toBe('no-cache');
  });

  it('tells an answer at the limit from one that broke off', async () => {
    expect((await run(`${chunk('a', 'length')}data: [DONE]\n\n`)).end).toBe('length');
    expect((await run(chunk('a'))).end).toBe('broken');
  });

  it('turns a refusal into its code and waiting time', async () => {
    const body = JSON.stringify({
      error: { message: 'Slow down', type: 'x', param: null, code: 'rate_limit_exceeded' },
    });
    const refused = run(body, { status: 429, headers: { 'retry-after': '3' } });
    await expect(refused).rejects.toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
      retryAfterSeconds: 3,
    });
  });

  it('copes with a refusal that is no JSON', async () => {
    await expect(run('<html>', { status: 502 })).rejects.toMatchObject({ status: 502, message: '' });
    await expect(run('<html>', { status: 404 })).rejects.toMatchObject({ status: 404, message: 'HTTP 404' });
  });

  it('throws an error that comes as an event', () => {
    expect(() => readChunk('{"error":{"message":"gone","code":"provider_error"}}')).toThrow(RouterError);
    expect(readChunk('not json')).toEqual({ text: '', finish: null });
  });
});
