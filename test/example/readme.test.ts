import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import sharp from 'sharp'
import t, { type Test } from 'tap'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const readme = await readFile(join(root, 'README.md'), 'utf8')
const ATTEMPTS = 100
// Node strips the types there, tap compiles them here: coverage of the two cannot be added up.
const env = { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0' }

function blocks (language: string): string[] {
  return Array.from(readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')), ([, text]) => text!)
}

/** Without what is different each time. */
function normal (answer: string): string {
  return answer.trim()
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/req-\w+/g, '<request>')
}

/** Starts the example as the README does; tells where it listens. */
async function startExample (t: Test): Promise<string> {
  const child = spawn(process.execPath, ['example/web-app/server.ts'], { cwd: root, env: { ...env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const [, address] = /listening on http:\/\/(\S+)/.exec(line) ?? []
    if (address !== undefined) return address
  }
  throw new Error('the example does not listen')
}

t.test('the curl lines of the README answer what it says', async (t) => {
  const session = blocks('sh').find((block) => block.includes('curl'))!
  const steps = Array.from(session.matchAll(/^(curl .*)\n# (.*)$/gm), ([, command, answer]) => ({ command: command!, answer: answer! }))
  t.ok(steps.length >= 10)
  const address = await startExample(t)
  const cwd = t.testdir()
  await writeFile(join(cwd, 'photo.jpg'), await sharp({ create: { width: 800, height: 600, channels: 3, background: 'teal' } }).jpeg().toBuffer())
  let jobId = ''
  for (const { command, answer } of steps) {
    const asks = !/ -d | --data|-X POST/.test(command)
    let found = ''
    // What a job has done is seen a little later.
    for (let attempt = 0; attempt < (asks ? ATTEMPTS : 1); attempt++) {
      const line = command.replaceAll('localhost:3000', address).replaceAll('<jobId>', jobId)
      found = (await run('sh', ['-c', line], { cwd, env }).catch(({ stdout }) => ({ stdout }))).stdout
      if (normal(found) === normal(answer)) break
      await wait(50)
    }
    t.equal(normal(found), normal(answer), command)
    jobId = /"jobId":"([^"]+)"/.exec(found)?.[1] ?? jobId
  }
})

t.test("the README's first lines of code work", async (t) => {
  const [code] = blocks('ts')
  const file = join(t.testdir(), 'readme.ts')
  await writeFile(file, `${code!.replace("'fastify-background-jobs'", `'${join(root, 'lib/index.ts')}'`).replace('{ logger: true }', '')}
    const { asValue } = await import('awilix')
    const sent = []
    app.diContainer.register({ mailer: asValue({ send: async (mail, { signal }) => { sent.push([mail, signal.aborted]) } }) })
    const { statusCode, headers } = await app.inject({ method: 'POST', url: '/send-email', payload: { to: 'ada@example.com' } })
    await app.jobs.idle()
    const { state } = (await app.inject(headers.location)).json()
    console.log(JSON.stringify({ statusCode, sent, state }))
    await app.close()`)
  t.teardown(() => rm(file, { force: true }))
  const { stdout } = await run(process.execPath, [file], { cwd: root, env })
  t.same(JSON.parse(stdout), { statusCode: 202, sent: [[{ to: 'ada@example.com' }, false]], state: 'succeeded' })
})
