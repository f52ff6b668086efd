import t from 'tap'
import { ServiceStoppedError, stoppingError } from '../../lib/errors.ts'
import { isStopReason } from '../../lib/services/stop-reason.ts'

const aborted = AbortSignal.abort(new ServiceStoppedError('tail'))

t.test('what a service throws because it was told to stop is no failure', (t) => {
  t.ok(isStopReason(aborted.reason, aborted), "the signal's own reason")
  t.ok(isStopReason(new DOMException('This operation was aborted', 'AbortError'), aborted), 'what fetch and streams throw')
  t.ok(isStopReason(Object.assign(new Error('aborted'), { name: 'AbortError' }), aborted), "what Node's timers throw")
  t.ok(isStopReason(stoppingError('mail'), aborted), 'what an enqueue throws while the app stops')
  t.end()
})

t.test('everything else that it throws is one', (t) => {
  for (const thrown of [new Error('no'), new TypeError('no'), 'AbortError', { name: 'AbortError' }, null, undefined, 0]) {
    t.notOk(isStopReason(thrown, aborted), String(thrown))
  }
  t.end()
})

t.test('before the signal has aborted nothing is a reason to stop', (t) => {
  const { signal } = new AbortController()
  t.notOk(isStopReason(undefined, signal), "although it is the signal's reason")
  t.notOk(isStopReason(new DOMException('', 'AbortError'), signal))
  t.notOk(isStopReason(stoppingError('mail'), signal))
  t.end()
})

t.test('what cannot be read is a failure', (t) => {
  const unreadable = { get (): never { throw new Error('unreadable') } }
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  t.equal(isStopReason(Object.defineProperty(new Error('no'), 'name', unreadable), aborted), false)
  t.equal(isStopReason(Object.defineProperty(new Error('no'), 'code', unreadable), aborted), false)
  t.equal(isStopReason(proxy, aborted), false)
  t.end()
})
