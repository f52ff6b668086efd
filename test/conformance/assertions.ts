import assert from 'node:assert/strict'
import { inTime } from './until.ts'

export const NOT_SUPPORTED = 'FST_JOBS_NOT_SUPPORTED'
export const QUEUE_FULL = 'FST_JOBS_QUEUE_FULL'
export const STOPPING = 'FST_JOBS_STOPPING'
export const INVALID_PAYLOAD = 'FST_JOBS_INVALID_PAYLOAD'
export const PAYLOAD_TOO_LARGE = 'FST_JOBS_PAYLOAD_TOO_LARGE'

/** The call rejects with the error of that code. */
export async function refused (call: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(inTime(`the call was refused with ${code}`, call), { code })
}

/** What a promise resolves to, or rejects with: nobody has to be there when it rejects. */
export function settled<T> (promise: Promise<T>): Promise<unknown> {
  return promise.catch((error: unknown) => error)
}

/** Not settled within some turns of the event loop: for what must go on waiting. */
export async function isPending (promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  const turns = async (): Promise<typeof pending> => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    return pending
  }
  return await Promise.race([promise.catch(() => {}), turns()]) === pending
}

/** 1 … count. */
export function numbers (count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}
