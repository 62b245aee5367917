/**
 * Measures from now on how long this process is at work: the function it returns says so, in ms. What
 * others do on the machine does not count.
 */
export function workTime(): () => number {
  const since = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(since)
    return (user + system) / 1000
  }
}
