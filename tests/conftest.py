import os

# Before torch is imported: threads that wait by spinning slow down small work tens of times on a busy machine, and for
# small tensors one thread is faster anyway, and does not wait for cores that others use.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
