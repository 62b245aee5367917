import { dirname } from 'node:path'
import { dockerEngine } from '../../../engine/docker-engine.ts'
import { createDocker } from '../../../engine/docker-host.ts'
import { rootlessKind } from '../../../engine/rootless.ts'
import { agentFile } from '../../../package-root.ts'
import { type Check, ok, warning } from '../finding.ts'
import { isInContainer } from '../in-container.ts'

export const engineCheck: Check = {
  name: 'engine',
  async look({ config, env }) {
    if (config.engine === 'process') {
      return warning(
        'AGENT_ENGINE=process: tools run as you, with all your rights, in no container.',
        'Leave it out where there is an engine.',
      )
    }
    const { docker, source } = createDocker(env)
    // Throws the same errors as a run. A missing image is left to the image check.
    await dockerEngine(docker, config.image, source)
      .check()
      .catch((error) => {
        if (error.code !== 'image-missing') throw error
      })
    const [version, info] = await Promise.all([docker.version(), docker.info()])
    const options: string[] = info.SecurityOptions ?? []
    const has = (name: string) => options.some((option) => option.startsWith(`name=${name}`))
    const name = version.Components?.some(({ Name }) => /podman/i.test(Name)) ? 'Podman' : 'Docker'
    const about = [
      `${name} ${version.Version} (${source})`,
      `${version.Os} ${version.Arch}`,
      `cgroup v${info.CgroupVersion ?? 1}`,
      rootlessKind(info) ? 'rootless' : 'of root',
      ...(isInContainer() ? ['asked from inside a container'] : []),
    ].join(', ')
    if (!has('seccomp')) {
      return warning(
        `${about}; it filters no system calls (no seccomp).`,
        'Look into its settings: a container is weaker without.',
      )
    }
    if (has('selinux')) {
      return warning(
        `${about}; it labels containers for SELinux, which was not tried and may close your folders to them.`,
        'Where the sandbox fails or a run says EACCES: `chcon -R -t container_file_t FOLDER`, for the workspace, for ' +
          `${dirname(agentFile)} and for the temporary folder. codexbox changes no label by itself.`,
      )
    }
    return ok(`${about}.`)
  },
}
