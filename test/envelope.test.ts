import t from 'tap'
import { encodePayload, maxAttempts } from '../lib/envelope.ts'

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

t.test('the limit is in UTF-8 bytes and may be reached', async (t) => {
  t.equal(encodePayload("job 'work'", 'ü', 4), '"ü"')
  t.throws(() => encodePayload("job 'work'", 'ü', 3), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /has 4 bytes, more than the 3 allowed/ })
})

t.test("an enqueue's attempts go before the definition's", async (t) => {
  t.equal(maxAttempts(envelope, { attempts: 3 }), 3)
  t.equal(maxAttempts({ ...envelope, options: { attempts: 5 } }, { attempts: 3 }), 5)
  t.equal(maxAttempts({ ...envelope, options: {} }, { attempts: 3 }), 3)
})
