# For `.`, from the other scripts: what they ask of this machine's apt.

# The mirror of Debian that this machine uses, as its own apt knows it.
mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|//p' | grep -v security | head -n 1
}

apt() { apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"; }
