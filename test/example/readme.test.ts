import { execFile, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import sharp from 'sharp'
import t from 'tap'
import { until } from '../conformance/until.ts'
import { ended, plainEnv, root } from '../helpers/child.ts'
import { packageIsBuilt } from '../helpers/dist.ts'
import { startExample } from '../helpers/example.ts'

const run = promisify(execFile)
const readme = await readFile(join(root, 'README.md'), 'utf8')

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

t.test('the curl lines of the README answer what it says', async (t) => {
  const session = blocks('sh').find((block) => block.includes('curl'))!
  const steps = Array.from(session.matchAll(/^(curl .*)\n# (.*)$/gm), ([, command, answer]) => ({ command: command!, answer: answer! }))
  t.ok(steps.length >= 10)
  const { admin, base } = await startExample(t)
  const cwd = t.testdir()
  await writeFile(join(cwd, 'photo.jpg'), await sharp({ create: { width: 800, height: 600, channels: 3, background: 'teal' } }).jpeg().toBuffer())
  let jobId = ''
  for (const { command, answer } of steps) {
    const line = command.replaceAll('localhost:3000', base).replaceAll('<jobId>', jobId).replaceAll('<password>', admin.password)
    let found = ''
    const isAnswered = async (): Promise<boolean> => {
      found = (await run('sh', ['-c', line], { cwd, env: plainEnv }).catch(({ stdout }) => ({ stdout }))).stdout
      return normal(found) === normal(answer)
    }
    // What a job has done is seen a little later.
    if (/ -d | --data|-X POST/.test(command)) await isAnswered()
    else await until(command, isAnswered).catch(() => {})
    t.equal(normal(found), normal(answer), command)
    jobId = /"jobId":"([^"]+)"/.exec(found)?.[1] ?? jobId
  }
})

t.test("the README's first lines of code work", async (t) => {
  const [enqueues, works] = blocks('ts')
  const file = join(t.testdir(), 'readme.ts')
  const code = `${enqueues}
    const { asValue } = await import('awilix')
    const done = []
    app.diContainer.register({
      mailer: asValue({ send: async (mail, { signal }) => { done.push([mail, signal.aborted]) } }),
      shop: asValue({ fetchOrders: async ({ signal }) => { done.push(['orders', signal.aborted]) } })
    })
    app.jobs.define('send-report', async () => { done.push('report') })
    ${works}
    const { statusCode, headers } = await app.inject({ method: 'POST', url: '/send-email', payload: { to: 'ada@example.com' } })
    await app.jobs.idle()
    const { state } = (await app.inject(headers.location)).json()
    await app.jobs.schedules.run('nightly-report')
    await app.jobs.idle()
    console.log(JSON.stringify({ statusCode, done, state }))
    await app.close()`
  await packageIsBuilt()
  await writeFile(file, code.replace('{ logger: true }', ''))
  const { out, err } = await ended(spawn(process.execPath, [file], { env: plainEnv, stdio: ['ignore', 'pipe', 'pipe'] }))
  t.equal(err, '')
  const { statusCode, done, state } = JSON.parse(out)
  t.match({ statusCode, state }, { statusCode: 202, state: 'succeeded' })
  t.same(done.sort(), [['orders', false], [{ to: 'ada@example.com' }, false], 'report'].sort())
})
