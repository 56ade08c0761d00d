"""Environment variables that no policy hands on: they choose which code is loaded, or what Responder works with."""

LOADS_CODE = (
    "PYTHON", "LD_", "DYLD_", "GLIBC_", "GCONV_", "MALLOC_", "ANSIBLE_", "RESPONDER_", "BASH_", "SHELLOPTS", "PERL", "RUBY", "NODE_",
    "GIT_", "OPENSSL_", "GIO_", "SSH_ASKPASS", "JAVA_", "_JAVA_", "CLASSPATH", "PATH", "HOME", "ENV", "IFS", "LC_", "LANG", "LOCPATH",
)  # fmt: skip
"""How the names of such variables begin."""
