"""Plants a tree with every kind of entry there is, and lists all that is known of one.

every-kind.py plant FOLDER   prints the features that could not be planted, one a line
every-kind.py list FOLDER    prints a line of JSON for each entry
"""

import ctypes, fcntl, hashlib, json, os, socket, stat, struct, sys

GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602
NODUMP, NOATIME, IMMUTABLE, APPEND = 0x40, 0x80, 0x10, 0x20
KEPT_FLAGS = NODUMP | NOATIME | IMMUTABLE | APPEND
LIBC = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    _fields_ = [('seconds', ctypes.c_long), ('nanoseconds', ctypes.c_long)]


def set_mtime(path, seconds, nanoseconds):
    times = (Timespec * 2)(Timespec(0, (1 << 30) - 2), Timespec(seconds, nanoseconds))
    if LIBC.utimensat(-100, os.fsencode(path), times, 0x100) != 0:
        raise OSError(ctypes.get_errno(), 'utimensat')


def write(path, content=b'content'):
    with open(path, 'wb') as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def acl(*entries):
    """The value of system.posix_acl_*: (tag, permissions, id)."""
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


NONE = 0xFFFFFFFF
ACCESS = acl((1, 6, NONE), (2, 7, 1234), (4, 4, NONE), (8, 5, 4321), (16, 7, NONE), (32, 0, NONE))
DEFAULT = acl((1, 7, NONE), (2, 5, 77), (4, 5, NONE), (16, 5, NONE), (32, 0, NONE))


def plain_files():
    for name, size in ('empty', 0), ('one', 1), ('large', 3_000_001):
        write(name, bytes((i * 2654435761 >> 13) & 255 for i in range(size)))
    os.mkdir('empty directory')
    os.mkdir('closed', 0o700)
    write('closed/inside')


def links():
    targets = [b'nowhere', b'itself', b'..', b'/etc', b'a/' * 1999 + b'b', b'\xff\xfe \n\x01', b'empty directory']
    for i, target in enumerate(targets):
        os.symlink(target, b'link%d' % i)
    os.symlink('itself', 'itself')


def hard_links():
    for folder in 'ha', 'hb/deeper', 'hc':
        os.makedirs(folder)
    write('ha/first', 'shared')
    for name in 'ha/second', 'hb/deeper/third', 'hc/fourth':
        os.link('ha/first', name)


def hard_links_of_others():
    for folder in 'ha', 'hb':
        os.mkdir(folder)
    os.symlink('/etc/../nowhere', 'ha/link')
    os.symlink('here', 'ha/plain link')
    os.mkfifo('ha/pipe', 0o620)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind('ha/socket')
    bound.close()
    for name in os.listdir('ha'):
        os.link('ha/' + name, 'hb/other ' + name, follow_symlinks=False)
        os.link('ha/' + name, 'third ' + name, follow_symlinks=False)


def hard_links_of_devices():
    os.mknod('character', stat.S_IFCHR | 0o620, os.makedev(1, 3))
    os.mknod('block', stat.S_IFBLK | 0o600, os.makedev(7, 300))
    for name in 'character', 'block':
        os.link(name, 'other ' + name)


def pipes_and_sockets():
    os.mkfifo('pipe', 0o640)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind('socket')
    bound.close()


def devices():
    os.mknod('character', stat.S_IFCHR | 0o620, os.makedev(511, 1048575))
    os.mknod('block', stat.S_IFBLK | 0o600, os.makedev(7, 300))


def holes():
    for name, size, islands in ('sparse', 40_000_000, (5_000_000, 25_000_000)), ('hole alone', 9_000_000, ()):
        with open(name, 'wb') as file:
            file.truncate(size)
            for at in islands:
                file.seek(at)
                file.write(b'island' * 5000)


def owners():
    for i, (uid, gid) in enumerate([(12345, 54321), (4294967294, 4294967294), (1, 2)]):
        write('owned%d' % i)
        os.symlink('owned%d' % i, 'owned link%d' % i)
        for name in 'owned%d' % i, 'owned link%d' % i:
            os.chown(name, uid, gid, follow_symlinks=False)


def modes():
    for mode in 0, 0o400, 0o111, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777:
        write('mode%o' % mode)
        os.chmod('mode%o' % mode, mode)
    for mode in 0o1777, 0o2775, 0o7700:
        os.mkdir('directory%o' % mode)
        write('directory%o/inside' % mode)
        os.chmod('directory%o' % mode, mode)


TIMES = [(-2147483648, 0), (-1, 999999999), (0, 1), (1700000000, 123456789), (4294967296, 5), (15032385535, 0)]


def times():
    for i, (seconds, nanoseconds) in enumerate(TIMES):
        write('time%d' % i)
        os.symlink('x', 'time link%d' % i)
        os.mkdir('time directory%d' % i)
        for kind in 'time%d', 'time link%d', 'time directory%d':
            set_mtime(kind % i, seconds, nanoseconds)


def odd_names():
    os.mkdir('names')
    names = [bytes([c]) * n for c in range(1, 256) if c not in (0x2E, 0x2F) for n in (1, 3)]
    names += [b'-rf', b'--', b'a\nb', b'...', b'\xc3\xa9', b'e\xcc\x81', b'\xed\xa0\x80', b'x' * 255, b'%s%n', b'$(id)']
    for name in names:
        write(b'names/' + name, name)


def xattrs():
    write('attributes')
    os.mkdir('attributes directory')
    for name in 'attributes', 'attributes directory':
        os.setxattr(name, 'user.text', b'value')
        os.setxattr(name, 'user.bytes', bytes(range(256)))
        os.setxattr(name, 'user.empty', b'')
        os.setxattr(name, b'user.\xff odd', b'x')


def privileged_xattrs():
    for name in 'trusted', 'security':
        write(name)
        os.setxattr(name, name + '.cairn', b'\0\1\2')
    os.symlink('x', 'trusted link')
    os.setxattr('trusted link', 'trusted.cairn', b'of the link', follow_symlinks=False)


def acls():
    write('acl')
    os.chmod('acl', 0o640)
    os.setxattr('acl', 'system.posix_acl_access', ACCESS)
    os.mkdir('acl directory')
    os.setxattr('acl directory', 'system.posix_acl_default', DEFAULT)
    write('acl directory/inherits')


def capabilities():
    write('capable')
    os.chmod('capable', 0o755)
    os.setxattr('capable', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0))


def inode_flags():
    for name, flags in ('nodump', NODUMP), ('noatime', NODUMP | NOATIME):
        write(name)
        set_flags(name, flags)


def set_flags(path, flags):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # ext4 refuses to lose those that it sets itself.
        found = struct.unpack('l', fcntl.ioctl(descriptor, GET_FLAGS, b'\0' * 8))[0]
        fcntl.ioctl(descriptor, SET_FLAGS, struct.pack('l', found | flags))
    finally:
        os.close(descriptor)


FEATURES = {
    'plain files': plain_files, 'symbolic links': links, 'hard links': hard_links,
    'hard links of others': hard_links_of_others, 'hard links of devices': hard_links_of_devices,
    'pipes and sockets': pipes_and_sockets, 'devices': devices, 'holes': holes, 'owners': owners,
    'modes': modes, 'odd names': odd_names, 'attributes': xattrs,
    'privileged attributes': privileged_xattrs, 'ACLs': acls, 'capabilities': capabilities,
    'inode flags': inode_flags, 'times': times,
}


def plant(folder):
    os.umask(0o022)
    os.chdir(folder)
    os.mkdir('plain')
    os.chdir('plain')
    for feature, make in FEATURES.items():
        try:
            os.mkdir(feature)
            os.chdir(feature)
            make()
        except OSError as error:
            print(feature, file=sys.stdout)
            print(feature, error, file=sys.stderr)
        os.chdir(os.path.join(folder, 'plain'))
    for name, depth in ('d', 2000), ('long' * 60, 30):
        os.chdir(folder)
        os.mkdir('deep ' + name[:4])
        os.chdir('deep ' + name[:4])
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
        write('bottom', name)
        os.symlink('to', 'link')


def flags_of(name):
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return struct.unpack('l', fcntl.ioctl(descriptor, GET_FLAGS, b'\0' * 8))[0] & KEPT_FLAGS
    except OSError:
        return None
    finally:
        os.close(descriptor)


def digest(name):
    with open(name, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()


def describe(name, path, groups):
    found = os.lstat(name)
    kind = stat.S_IFMT(found.st_mode)
    entry = {
        'path': path.decode('latin1'), 'mode': oct(found.st_mode), 'owner': [found.st_uid, found.st_gid],
        'mtime': str(found.st_mtime_ns),
        'xattrs': {os.fsencode(key).decode('latin1'): os.getxattr(name, key, follow_symlinks=False).hex()
                   for key in sorted(os.listxattr(name, follow_symlinks=False), key=os.fsencode)},
    }
    if kind == stat.S_IFLNK:
        entry['target'] = os.readlink(os.fsencode(name)).decode('latin1')
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry['device'] = [os.major(found.st_rdev), os.minor(found.st_rdev)]
    if kind == stat.S_IFREG:
        entry['size'], entry['digest'] = found.st_size, digest(name)
        entry['isSparse'] = found.st_blocks * 512 < found.st_size
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        entry['flags'] = flags_of(name)
    if kind != stat.S_IFDIR and found.st_nlink > 1:
        entry['sameAs'] = groups.setdefault(found.st_ino, entry['path'])
    return entry


def listing(folder):
    groups = {}

    def visit(path):
        for name in sorted(os.listdir(b'.')):
            below = path + b'/' + name
            entry = describe(name, below, groups)
            print(json.dumps(entry))
            if stat.S_ISDIR(int(entry['mode'], 8)):
                os.chdir(name)
                visit(below)
                os.chdir('..')

    sys.setrecursionlimit(20000)
    os.chdir(folder)
    visit(b'')


{'plant': plant, 'list': listing}[sys.argv[1]](os.path.realpath(sys.argv[2]))
