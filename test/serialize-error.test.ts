import { runInNewContext } from 'node:vm'
import t from 'tap'
import { fullMessage, loggableError, serializeError, toError } from '../lib/serialize-error.ts'
import { gc } from './helpers/gc.ts'

const KiB = 1024

t.test('a long message and a long stack are cut at 8 and 16 KiB, and say so', async (t) => {
  for (const letter of ['x', 'é', '€', '😀']) {
    const bytes = 20 * KiB * KiB
    const error = Object.assign(new Error(letter.repeat(bytes / Buffer.byteLength(letter))), { stack: letter.repeat(bytes / Buffer.byteLength(letter)) })
    const { message, stack } = serializeError(error)
    for (const [text, limit] of [[message, 8 * KiB], [stack!, 16 * KiB]] as const) {
      const [kept, mark] = text.split('… ')
      t.ok(Buffer.byteLength(kept!) <= limit && Buffer.byteLength(kept!) > limit - 4, 'as much as fits')
      t.equal(kept!.replaceAll(letter, ''), '', 'no half characters')
      t.match(mark, /^\[cut: \d+ bytes\]$/)
    }
  }
})

t.test('a text that fits is kept as it is', async (t) => {
  for (const message of ['', 'x'.repeat(8 * KiB), '€'.repeat(2730), 'half a pair \ud800']) t.equal(serializeError(new Error(message)).message, message)
})

t.test('what is kept of a long text does not keep the rest of it in memory', async (t) => {
  const before = process.memoryUsage().heapUsed
  const kept = Array.from({ length: 50 }, (_, index) => serializeError(new Error(`${index}`.repeat(KiB * KiB))))
  gc()
  t.ok(process.memoryUsage().heapUsed - before < 10 * KiB * KiB)
  t.equal(kept.length, 50)
})

t.test('causes are kept, whatever they are', async (t) => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  t.match(serializeError(new TypeError('fetch failed', { cause: refused })), {
    name: 'TypeError', message: 'fetch failed', cause: { name: 'Error', message: 'connect ECONNREFUSED 127.0.0.1:1', code: 'ECONNREFUSED', stack: /ECONNREFUSED/ }
  })
  t.match(serializeError(new Error('a', { cause: 'the disk is full' })).cause, { message: 'the disk is full' })
  t.match(serializeError(new Error('a', { cause: { code: 14, message: 'UNAVAILABLE' } })).cause, { message: 'UNAVAILABLE', code: '14' })
  t.notOk('cause' in serializeError(new Error('a', { cause: null })))
})

t.test("an AggregateError's errors are kept", async (t) => {
  const { errors } = serializeError(new AggregateError([new RangeError('first'), 'second'], 'both failed'))
  t.match(errors, [{ name: 'RangeError', message: 'first' }, { message: 'second' }])
  t.notOk('errors' in serializeError(new AggregateError([], 'none')))
})

t.test('an object that was thrown is known by its message, code and name', async (t) => {
  const thrown = { name: 'StripeError', message: 'card declined', code: 'card_declined', cause: new Error('insufficient funds'), stack: 'StripeError: card declined\n    at pay' }
  const serialized = serializeError(toError(thrown))
  t.match(serialized, { name: 'StripeError', message: 'card declined', code: 'card_declined', stack: thrown.stack, cause: { message: 'insufficient funds' } })
  t.same(serializeError(toError('a text')), { name: 'Error', message: 'a text' }, 'without a stack, which would be our own')
  t.match(serializeError(toError({ status: 500 })), { message: 'object was thrown: [object Object]' })
  t.match(serializeError(toError(null)), { message: 'null was thrown: null' })
  t.match(serializeError(toError(function fail () {})), { name: 'Error', message: /^function was thrown/ })
  t.match(toError(thrown), { cause: thrown })
})

t.test('an error of another realm is an error', async (t) => {
  const foreign: unknown = runInNewContext("new RangeError('elsewhere')")
  t.equal(toError(foreign), foreign)
  t.match(serializeError(toError(foreign)), { name: 'RangeError', message: 'elsewhere', stack: /elsewhere/ })
})

t.test('causes and members are bounded in depth and number, circles included', async (t) => {
  const circle = new Error('round and round')
  circle.cause = circle
  const depths: number[] = []
  let depth = 0
  for (let error = serializeError(circle).cause; error !== undefined; error = error.cause) {
    depths.push(++depth)
    if (error.cause === undefined) t.match(error.message, 'further causes were left out')
  }
  t.equal(depths.length, 6)

  const many = new AggregateError(Array.from({ length: 1000 }, (_, index) => new Error(`x${index} `.repeat(KiB))), 'all failed')
  const { errors } = serializeError(many)
  t.equal(errors!.length, 11)
  t.match(errors!.at(-1), { message: '… [990 more errors were left out]' })
  t.ok(JSON.stringify(serializeError(many)).length < 64 * KiB)

  const tree = (depth: number): Error => depth === 0 ? new Error('leaf') : new AggregateError(Array.from({ length: 10 }, () => tree(depth - 1)), 'branch')
  t.ok(JSON.stringify(serializeError(tree(4))).length < 64 * KiB)
})

t.test('what cannot be read is left out, and the rest is kept', async (t) => {
  const no = (): never => { throw new Error('no') }
  const unreadable = (key: string): Error => Object.defineProperty(new Error('readable'), key, { get: no })
  t.match(serializeError(unreadable('message')), { name: 'Error', message: 'The error cannot be read: one of its properties throws' })
  for (const key of ['name', 'code', 'stack', 'cause', 'errors']) t.match(serializeError(unreadable(key)), { name: 'Error', message: 'readable' })
  t.match(serializeError(Object.assign(new Error('readable'), { name: Object.create(null) })), { name: 'Error', message: 'readable' })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  t.match(serializeError(toError(proxy)), { message: 'object was thrown' })
})

t.test('an array of errors that cannot be read is left out', async (t) => {
  const revoked = Proxy.revocable([], {})
  revoked.revoke()
  const unreadable = (property: string) => new Proxy([new Error('member')], {
    get (target, key) {
      if (key === property) throw new Error('no')
      return Reflect.get(target, key)
    }
  })
  for (const errors of [revoked.proxy, unreadable('length'), unreadable('0')]) {
    const { stack, ...rest } = serializeError(Object.assign(new Error('x'), { errors }))
    t.same(rest, { name: 'Error', message: 'x' })
  }
})

t.test('what is logged is the thrown value itself, or a cut copy of the same class', async (t) => {
  const error = Object.assign(new TypeError('short', { cause: new Error('why') }), { details: 'kept' })
  t.equal(loggableError(error), error)
  t.equal(loggableError('text'), 'text')
  const members = [new Error('y'.repeat(KiB * KiB))]
  const long = Object.assign(new AggregateError(members, 'x'.repeat(KiB * KiB), { cause: new Error('why') }), { code: 'E_LONG' })
  const copy = loggableError(long) as AggregateError & { code: string }
  t.ok(copy instanceof AggregateError)
  t.match(copy, { code: 'E_LONG', cause: { message: 'why' }, errors: [{ message: /cut: 1048576 bytes/ }] })
  t.ok(copy.message.length < 9 * KiB && copy.stack!.length < 17 * KiB)
})

t.test('a full message has those of the causes', async (t) => {
  t.equal(fullMessage(serializeError(new Error('a', { cause: new Error('b', { cause: new Error('c') }) }))), 'a; cause: b; cause: c')
})
