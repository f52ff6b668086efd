import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { plainEnv, root } from './child.ts'

export { plainEnv, root }

export interface Example {
  /** Credentials of the admin routes. */
  readonly admin: { readonly password: string, readonly authorization: string }
  /** Where cash desks connect. */
  readonly orderPort: number
  /** Where it listens: `http://127.0.0.1:<port>`. */
  readonly base: string
  /** Sends SIGTERM; resolves with exit code and signal. */
  stop (): Promise<[code: number | null, signal: string | null]>
}

/** Starts the main example as the README does, on a free port. */
export async function startExample (t: Test, settings: Record<string, string> = {}): Promise<Example> {
  const child = spawn(process.execPath, ['example/web-app/server.ts'], {
    cwd: root, env: { ...plainEnv, PORT: '0', ORDER_PORT: '0', ...settings }, stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit') as ReturnType<Example['stop']>
  const stop: Example['stop'] = () => {
    child.kill('SIGTERM')
    return exited
  }
  t.teardown(stop)
  let orderPort = 0
  let password = settings.ADMIN_PASSWORD ?? ''
  for await (const line of createInterface({ input: child.stdout })) {
    orderPort = Number(/cash desks: port (\d+)/.exec(line)?.[1] ?? orderPort)
    password = /user admin, password (\w+)$/.exec(line)?.[1] ?? password
    const base = /listening on (\S+)/.exec(line)?.[1]
    if (base !== undefined) return { admin: { password, authorization: basic(password) }, base, orderPort, stop }
  }
  throw new Error('the example does not listen')
}

function basic (password: string): string {
  return `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`
}
