"""The object store: large payloads for other hosts, in chunks, named by the SHA-256 of their bytes.

store             put, get, pin: what the payload plane uses
meta              what is known of an object, changed by compare-and-set only
pins              which run needs which object
chunks            where the bytes lie: in the stream OBJECTS, or in a store outside
upload, download  many chunks at a time
encryption        AES-256-GCM for what leaves the host
deletion          the end of an object
janitor           frees what no run needs
"""
