# A client that goes without a word, as when its cable is cut: it asks, reads the answer's head, and
# from then on a filter on its socket drops whatever comes, so that its kernel acknowledges nothing.
# gone.py PORT PATH [HEADER ...]; says "gone" when it is.
import ctypes
import signal
import socket
import struct
import sys

SO_ATTACH_FILTER = 26

client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
lines = [f"GET {sys.argv[2]} HTTP/1.1", "Host: a", *sys.argv[3:], "", ""]
client.sendall("\r\n".join(lines).encode())
head = b""
while b"\r\n\r\n" not in head:
    piece = client.recv(65536)
    assert piece, head
    head += piece
drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # ret 0
client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop_all)))
print("gone", flush=True)
signal.pause()
