// Records what RateLimiterMemory of rate-limiter-flexible decides, under fake
// timers, for random schedules with a fixed seed. Run it in a folder with
//   npm install rate-limiter-flexible@11.4.0 @sinonjs/fake-timers@15.5.0
//   node record.mjs > rate-limiter-flexible.json
// or `make golden` for all recordings.
import FakeTimers from '@sinonjs/fake-timers'
import { readFileSync } from 'node:fs'
import rlf from 'rate-limiter-flexible'

let state = 20261123 // mulberry32
const random = () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

const clock = FakeTimers.install({ now: 0 })
const traces = []
for (let i = 0; i < 60; i++) {
  const config = { points: pick([1, 2, 5, 20]), duration: pick([1, 2, 10, 60]), blockDuration: pick([0, 0, 1, 2, 30]) }
  const limiter = new rlf.RateLimiterMemory({ keyPrefix: String(i), ...config })
  const steps = []
  for (let n = 0; n < 40; n++) {
    const after = pick([0, 0, 0, 1, 50, 499, 500, 1000, 1000 * config.duration, below(3000)])
    await clock.tickAsync(after)
    const cost = pick([1, 1, 1, 2, 3])
    let ok = true
    const res = await limiter.consume('k', cost).catch((r) => { ok = false; return r })
    steps.push({ after, cost, ok, remaining: res.remainingPoints, wait: res.msBeforeNext })
  }
  traces.push({ ...config, steps })
  await limiter.delete('k')
}
clock.uninstall()
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
const lines = traces.map((t) => JSON.stringify(t)).join(',\n')
// The names that a migration guide must know, as the package declares them.
const types = readFileSync('node_modules/rate-limiter-flexible/types.d.ts', 'utf8')
const unique = (list) => [...new Set(list)].sort()
const interfaces = [...types.matchAll(/^interface \w*Opt\w*[^{]*\{\n([^]*?)^\}/gm)].map((m) => m[1])
const names = {
  options: unique(interfaces.flatMap((body) => [...body.matchAll(/^ {4}(\w+)\??[:(]/gm)].map((m) => m[1]))),
  members: unique([...types.match(/class RateLimiterAbstract \{([^]*?)^\}/m)[1].matchAll(/^ {4}(\w+)\(/gm)].map((m) => m[1]).filter((n) => n !== 'constructor')),
  classes: unique([...types.matchAll(/^export class (\w+)/gm)].map((m) => m[1]))
}
console.log(`{"recorded":{"rate-limiter-flexible":"${version('rate-limiter-flexible')}","@sinonjs/fake-timers":"${version('@sinonjs/fake-timers')}","node":"${process.version}"},\n"names":${JSON.stringify(names)},\n"traces":[\n${lines}\n]}`)
