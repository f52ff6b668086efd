import t from 'tap'
import { decodePayload, encodePayload, maxAttempts } from '../lib/envelope.ts'

const envelope = { id: '1', name: 'work', payload: undefined, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }

t.test('a payload is encoded as JSON, and nothing as null', async (t) => {
  t.equal(encodePayload("job 'work'", { a: [1, 'ü'] }, 100), '{"a":[1,"ü"]}')
  t.equal(encodePayload("job 'work'", undefined, 100), 'null')
})

t.test('what JSON cannot carry is an invalid payload, with the reason in one line', async (t) => {
  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  for (const payload of [cyclic, 1n]) {
    t.throws(() => encodePayload("job 'work'", payload, 100), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /^Invalid payload for job 'work': it is not JSON \(.+\)$/, cause: TypeError })
  }
})

t.test('what no database takes is an invalid payload: NUL and half a surrogate pair, wherever they are', async (t) => {
  for (const text of ['\0', 'a\0b', '\ud83d', '\ude00', '\\\0', '\\\\\ud83d', '\ude00\ud83d']) {
    for (const payload of [text, { [text]: 1 }, [{ a: text }]]) {
      t.throws(() => encodePayload("job 'work'", payload, 100), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /NUL or half of a surrogate pair/ })
    }
  }
  for (const text of ['\\u0000', '\\\\u0000', '\\ud83d', '\u{1f600}', '\n\u0001\ud7ff\ue000', '\\'.repeat(50_000) + 'u0000']) {
    t.equal(decodePayload("job 'work'", encodePayload("job 'work'", text, 1_000_000)), text)
  }
})

t.test('a stored payload is decoded without own __proto__ keys, however they are written', async (t) => {
  for (const text of ['{"a":1,"__proto__":{"admin":true}}', '{"a":1,"\\u005f_proto__":{"admin":true}}', '{"a":1,"__proto__":{"__proto__":{"admin":true}}}']) {
    const payload = decodePayload("job 'work'", text) as Record<string, unknown>
    t.same(Object.getOwnPropertyNames(payload), ['a'])
    t.equal(Object.assign({}, payload).admin, undefined)
  }
  t.same(decodePayload("job 'work'", '{"constructor":{"prototype":1},"text":"__proto__"}'), { constructor: { prototype: 1 }, text: '__proto__' })
})

t.test('what was stored and is not JSON is an invalid payload', async (t) => {
  t.throws(() => decodePayload("job 'work'", '{"a":'), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /^Invalid payload for job 'work': what is stored is not JSON \(.+\)$/ })
})

t.test('the limit is in UTF-8 bytes and may be reached', async (t) => {
  t.equal(encodePayload("job 'work'", 'ü', 4), '"ü"')
  t.throws(() => encodePayload("job 'work'", 'ü', 3), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /has 4 bytes, more than the 3 allowed/ })
})

t.test("an enqueue's attempts go before the definition's", async (t) => {
  t.equal(maxAttempts(envelope, { attempts: 3 }), 3)
  t.equal(maxAttempts({ ...envelope, options: { attempts: 5 } }, { attempts: 3 }), 5)
  t.equal(maxAttempts({ ...envelope, options: {} }, { attempts: 3 }), 3)
})
