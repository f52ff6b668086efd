import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { OURS, type StartMeasurement, type StartTask } from './children/start.ts'
import { printTable, printTargets } from './report.ts'
import { median } from './rounds.ts'

const child = fileURLToPath(new URL('children/start.ts', import.meta.url))

const tasks = {
  fastify: { kind: 'import', modules: ['fastify'] },
  ours: { kind: 'import', modules: [OURS] },
  both: { kind: 'import', modules: ['fastify', OURS] },
  bare: { kind: 'ready', route: false, plugin: false },
  bareWithPlugin: { kind: 'ready', route: false, plugin: true },
  route: { kind: 'ready', route: true, plugin: false },
  routeWithPlugin: { kind: 'ready', route: true, plugin: true },
  routeWithoutMetrics: { kind: 'ready', route: true, plugin: true, options: { metrics: false } }
} satisfies Record<string, StartTask>

type Name = keyof typeof tasks

async function measure (task: StartTask): Promise<StartMeasurement> {
  const process = fork(child, [JSON.stringify(task)])
  const [measurement] = await once(process, 'message') as [StartMeasurement]
  await once(process, 'exit')
  return measurement
}

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, rounds: { type: 'string' } } })
const rounds = Number(values.rounds ?? (values.quick ? 5 : 21))

if (!existsSync(new URL('../dist', import.meta.url))) throw new Error('There is nothing to measure: run `npm run build` first')
console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}`)

const measured = new Map<Name, StartMeasurement[]>()
for (let round = 0; round < rounds; round++) {
  for (const name of Object.keys(tasks) as Name[]) {
    const measurements = measured.get(name) ?? []
    measured.set(name, [...measurements, await measure(tasks[name])])
  }
}

/** The median over the rounds. */
function milliseconds (name: Name, index = 0) {
  return median(measured.get(name)!.map(({ times }) => times[index]!))
}

function megabytes (name: Name) {
  return median(measured.get(name)!.map(({ rss }) => rss / 1e6))
}

function row (title: string, name: Name, without: Name) {
  return [title, ...[milliseconds(without), milliseconds(name), milliseconds(name) - milliseconds(without), megabytes(without), megabytes(name), megabytes(name) - megabytes(without)].map((value) => value.toFixed(1))]
}

printTable(`Import, each in a process of its own (median of ${rounds} rounds)`, ['', 'ms', 'RSS, MB'], [
  ['fastify', milliseconds('fastify').toFixed(1), megabytes('fastify').toFixed(1)],
  ['fastify-background-jobs', milliseconds('ours').toFixed(1), megabytes('ours').toFixed(1)],
  ['fastify-background-jobs after fastify', milliseconds('both', 1).toFixed(1), (megabytes('both') - megabytes('fastify')).toFixed(1)]
])
printTable('From the import of Fastify until the app is ready: without the plugin, with it, and the difference', ['app', 'ms', 'with', 'more', 'RSS, MB', 'with', 'more'], [
  row('no route', 'bareWithPlugin', 'bare'),
  row('a route with a schema', 'routeWithPlugin', 'route'),
  row('the same, metrics: false', 'routeWithoutMetrics', 'route')
])
printTargets([
  { name: "import: ours / Fastify's", value: milliseconds('ours') / milliseconds('fastify'), wanted: { max: 1 } }
])
