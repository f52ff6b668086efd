// node test/faults/run.ts sqlite|redis [--rounds 20] [--seed n]: rounds with random faults, one after the other.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { round } from './round.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '20' }, seed: { type: 'string' } }
})
for (const backend of positionals) {
  const target = new URL(`../conformance/targets/${backend}.ts`, import.meta.url)
  for (let number = 1; number <= Number(values.rounds); number++) {
    const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed) + number - 1
    const begun = performance.now()
    await round(target, seed)
    console.log(`${backend}: round ${number} of ${values.rounds}, seed ${seed}: ${Math.round(performance.now() - begun)} ms`)
  }
}
