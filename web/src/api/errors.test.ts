import i18next, { type TFunction } from 'i18next';
import { ClientResponseError } from 'pocketbase';
import { beforeAll, describe, expect, it } from 'vitest';
import { en } from '../locales/en';
import { errorMessage, fieldErrors, RouterError } from './errors';

let t: TFunction;
beforeAll(async () => {
  t = await i18next
    .createInstance()
    .init({ lng: 'en', resources: { en: { translation: en } }, interpolation: { escapeValue: false } });
});

const refused = (status: number, response: Record<string, unknown>) =>
  new ClientResponseError({ status, response });

describe('errorMessage', () => {
  it.each([
    [new RouterError(403, 'budget_exceeded', 'Budget exceeded: …'), en.error.budget_exceeded],
    [new RouterError(429, 'rate_limit_exceeded', '', 7), 'Too many requests. Please try again in 7 seconds.'],
    [new RouterError(401, 'other', ''), en.error.signed_out],
    [new RouterError(400, 'odd', 'Said by the server.'), 'Said by the server.'],
    [refused(0, {}), en.error.network],
    [refused(403, { message: 'Your account is pending approval.' }), en.error.user_pending],
    [refused(403, { message: 'Your account is suspended.' }), en.error.user_suspended],
    [refused(403, { message: 'The tenant is suspended.' }), en.error.tenant_suspended],
    [refused(403, { message: 'x', data: { code: 'user_pending' } }), en.error.user_pending],
    [refused(403, {}), en.error.forbidden],
    [refused(400, { message: 'Said by the server.', data: {} }), 'Said by the server.'],
    [
      refused(400, { message: 'x', data: { slug: { code: 'validation_not_unique', message: 'y' } } }),
      en.error.fields,
    ],
    [
      refused(400, { message: 'Failed to delete record. It is part of a required relation reference.' }),
      en.error.in_use,
    ],
    [
      refused(400, { message: 'Failed to create record. email: Value must be unique.', data: {} }),
      en.error.email_taken,
    ],
    [new RouterError(403, 'budget_exceeded', 'The budget has 0 of 0 EUR left.'), en.error.no_budget],
    [refused(502, {}), en.error.network],
    [new RouterError(502, '', ''), en.error.network],
    [refused(429, { message: 'x' }), en.error.rate_limited],
    [refused(400, { message: 'Failed to authenticate.', data: {} }), en.error.wrong_credentials],
    [refused(403, { message: 'Only superusers can perform this action.', data: {} }), en.error.forbidden],
    [
      refused(503, { message: 'The database cannot be reached; nothing was done. Try again later.' }),
      en.error.unavailable,
    ],
    [
      refused(400, {
        message: 'The provider key "K" is used by a, b.c. Take it out of the deployments there first.',
        data: { id: { code: 'validation_in_use', message: 'x' } },
      }),
      'The provider key "K" is used by a, b.c. Take it out of the deployments there first.',
    ],
    [
      refused(403, { message: 'You cannot delete your own account. Ask an administrator to delete it.' }),
      en.error.own_account,
    ],
    [refused(400, { message: 'Failed to create record.', data: {} }), en.error.not_saved],
    [new TypeError('Failed to fetch'), en.error.network],
    [undefined, en.error.unknown],
  ])('%o', (error, sentence) => {
    expect(errorMessage(error, t)).toBe(sentence);
  });
});

describe('fieldErrors', () => {
  it('translates known codes and passes on the server’s own sentences', () => {
    const error = refused(400, {
      data: {
        slug: { code: 'validation_not_unique', message: 'Value must be unique.' },
        rate: { code: 'odd', message: 'Too high.' },
        junk: 'x',
      },
    });
    expect(fieldErrors(error, t)).toEqual({ slug: en.fieldError.validation_not_unique, rate: 'Too high.' });
  });

  it('names the limit that the server names', () => {
    const error = refused(400, {
      data: {
        password: { code: 'validation_min_text_constraint', message: 'Must be at least 8 character(s).' },
        rate: { code: 'validation_max_number_constraint', message: 'Must be less or equal than 9e+15.' },
      },
    });
    expect(fieldErrors(error, t)).toEqual({
      password: 'Please enter at least 8 characters.',
      rate: 'The largest value is 9e+15.',
    });
  });

  it('names the switch that allows a private address', () => {
    const error = refused(400, {
      data: {
        base_url: { code: 'validation_invalid_url', message: 'Start with --allow-private-upstreams.' },
      },
    });
    expect(fieldErrors(error, t)).toEqual({ base_url: en.fieldError.private_address });
  });

  it('finds nothing in other errors', () => {
    expect(fieldErrors(new Error('x'), t)).toEqual({});
  });
});
