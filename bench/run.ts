import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { backlog } from './backlog.ts'
import { heap } from './heap.ts'
import { http } from './http.ts'
import { printTargets, type Target } from './report.ts'
import { full, quick } from './settings.ts'
import { throughput } from './throughput.ts'

const benchmarks = { throughput, backlog, heap, http }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, concurrency: { type: 'string', multiple: true }, rounds: { type: 'string' } }
})
const settings = { ...(values.quick ? quick : full) }
if (values.concurrency) settings.concurrencies = values.concurrency.map(Number)
if (values.rounds) settings.rounds = Number(values.rounds)

console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}`)
const targets: Target[] = []
for (const [name, benchmark] of Object.entries(benchmarks)) {
  if (positionals.length === 0 || positionals.includes(name)) targets.push(...await benchmark(settings))
}
printTargets(targets)
