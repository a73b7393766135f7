# The formula of a Homebrew tap. scripts/formula writes the version, the repository and the checksums of a release into it.
class Secretbake < Formula
  desc "Bake secrets into a new layer of a container image"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/secretbake-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@aarch64-apple-darwin@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/secretbake-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/secretbake-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@aarch64-unknown-linux-musl@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/secretbake-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@x86_64-unknown-linux-musl@"
    end
  end

  def install
    bin.install "secretbake"
    (lib/"docker/cli-plugins").install_symlink bin/"secretbake" => "docker-secretbake"
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/secretbake.bash" => "secretbake"
    zsh_completion.install "completions/_secretbake"
    fish_completion.install "completions/secretbake.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/secretbake --version")
    system bin/"secretbake", "org", "init", "--org", testpath/"org.yaml"
  end
end
