import t from 'tap'
import { NonRetryableError, type BackoffFunction, type BackoffOptions } from '../lib/index.ts'
import { outcomeOf, resolveRetryPolicy } from '../lib/retry-policy.ts'
import { toError } from '../lib/serialize-error.ts'

function decide (thrown: unknown, { attempt = 1, backoff, retryable }: { attempt?: number, backoff?: BackoffOptions | BackoffFunction, retryable?: (error: any) => boolean } = {}) {
  const problems: unknown[] = []
  const policy = resolveRetryPolicy({ attempts: 5, backoff })
  const outcome = outcomeOf(thrown, toError(thrown), { attempt, ...policy, retryable, now: 0, onPolicyError: (error) => problems.push(error) })
  return { outcome, problems, wait: outcome.type === 'retry' ? outcome.runAt : undefined }
}

t.test('a definition takes over what it does not say', async (t) => {
  t.equal(resolveRetryPolicy({}).maxStalls, 10)
  t.equal(resolveRetryPolicy({}, resolveRetryPolicy({ maxStalls: 2 })).maxStalls, 2)
  t.equal(resolveRetryPolicy({ maxStalls: 0 }, resolveRetryPolicy({ maxStalls: 2 })).maxStalls, 0)
})

t.test('waits double up to the cap, or stay fixed, and jitter only shortens them', async (t) => {
  const backoff = { delay: 100, max: 300, jitter: 0 }
  t.same([1, 2, 3, 4].map((attempt) => decide('x', { attempt, backoff }).wait), [100, 200, 300, 300])
  t.equal(decide('x', { attempt: 3, backoff: { ...backoff, type: 'fixed' } }).wait, 100)
  for (let i = 0; i < 200; i++) {
    const wait = decide('x', { backoff: { delay: 100, jitter: 0.5 } }).wait!
    t.ok(wait >= 50 && wait <= 100, `${wait}`)
  }
})

t.test('a custom backoff that throws or returns nonsense is reported and the default applies', async (t) => {
  t.equal(decide('x', { backoff: (attempt) => attempt * 7 }).wait, 7)
  for (const backoff of [() => NaN, () => -1, () => { throw new Error('bad') }]) {
    const { wait, problems } = decide('x', { backoff })
    t.ok(wait! >= 1600 && wait! <= 2000)
    t.equal(problems.length, 1)
  }
})

t.test('a delay of 0 stays 0 however many attempts there were', async (t) => {
  t.equal(decide('x', { attempt: 1, backoff: { delay: 0 } }).wait, 0)
  const policy = resolveRetryPolicy({ attempts: 5000, backoff: { delay: 0, jitter: 0 } })
  t.equal(policy.backoff(4000, 'x'), 0)
  t.equal(resolveRetryPolicy({ backoff: { delay: 10, max: 300, jitter: 0 } }).backoff(4000, 'x'), 300)
})

t.test('policy functions that answer with a promise are reported, and what it rejects with is not unhandled', async (t) => {
  const late = async (): Promise<never> => { throw new Error('late') }
  const { outcome, problems } = decide(new Error('x'), { backoff: late as never, retryable: late as never })
  t.equal(outcome.type, 'retry')
  t.match(problems, [{ message: /retryable.*a promise/ }, { message: /backoff.*a promise/ }])
})

t.test('non-retryable errors, nested and from another copy of the package, are dead at once', async (t) => {
  const foreign = Object.assign(new Error('foreign'), { [Symbol.for('fastify-background-jobs.non-retryable')]: true })
  for (const thrown of [new NonRetryableError('no'), new Error('outer', { cause: new NonRetryableError('no') }), foreign]) t.equal(decide(thrown).outcome.type, 'dead')
  t.equal(decide(new Error('x'), { retryable: () => false }).outcome.type, 'dead')
  t.equal(decide(new Error('x'), { attempt: 5 }).outcome.type, 'dead')
  const { outcome, problems } = decide(new Error('x'), { retryable: () => { throw new Error('bad') } })
  t.equal(outcome.type, 'retry')
  t.equal(problems.length, 1)
})
