import com.teragrep.net_01.channel.context.ListenContextFactory;
import com.teragrep.net_01.channel.socket.PlainFactory;
import com.teragrep.net_01.channel.socket.SocketFactory;
import com.teragrep.net_01.channel.socket.TLSFactory;
import com.teragrep.net_01.eventloop.EventLoop;
import com.teragrep.net_01.eventloop.EventLoopFactory;
import com.teragrep.rlp_03.frame.FrameDelegationClockFactory;
import com.teragrep.rlp_03.frame.delegate.DefaultFrameDelegate;
import com.teragrep.rlp_03.frame.delegate.FrameContext;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.concurrent.Executors;
import java.util.function.Consumer;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManagerFactory;

/**
 * Teragrep's RELP server on 127.0.0.1. Each record is appended to OUT, a line of base64, before it is answered. Every
 * Nth record is not stored and answered 500; with N = 0 none is. With a certificate and its key (PEM, PKCS #8, EC) it
 * speaks TLS, with CA as well it wants a client certificate of that authority.
 *
 * <p>java RelpServer PORT OUT N [CERT KEY [CA]]
 */
public class RelpServer {
  private static long seen;

  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    OutputStream out = new FileOutputStream(args[1], true);
    long every = Long.parseLong(args[2]);
    Consumer<FrameContext> store =
        frame -> {
          byte[] record = frame.relpFrame().payload().toBytes();
          synchronized (RelpServer.class) { // sessions are served side by side
            if (every > 0 && ++seen % every == 0) {
              throw new IllegalStateException("refused on purpose");
            }
            try {
              out.write((Base64.getEncoder().encodeToString(record) + "\n").getBytes(StandardCharsets.US_ASCII));
            } catch (java.io.IOException e) {
              throw new java.io.UncheckedIOException(e);
            }
          }
        };
    SocketFactory sockets = args.length > 3 ? tls(args) : new PlainFactory();
    EventLoop loop = new EventLoopFactory().create();
    // Not by ServerFactory, which listens on every interface.
    loop.register(
        new ListenContextFactory(
                Executors.newFixedThreadPool(2),
                sockets,
                new FrameDelegationClockFactory(() -> new DefaultFrameDelegate(store)))
            .open(new InetSocketAddress("127.0.0.1", port)));
    loop.run();
  }

  private static SocketFactory tls(String[] args) throws Exception {
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    String pem = Files.readString(Path.of(args[4])).replaceAll("-----[A-Z ]+-----|\\s", "");
    own.setKeyEntry(
        "server",
        KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem))),
        new char[0],
        new Certificate[] {certificate(args[3])});
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, new char[0]);
    TrustManagerFactory trust = null;
    if (args.length > 5) {
      KeyStore others = KeyStore.getInstance("PKCS12");
      others.load(null, null);
      others.setCertificateEntry("ca", certificate(args[5]));
      trust = TrustManagerFactory.getInstance("PKIX");
      trust.init(others);
    }
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust == null ? null : trust.getTrustManagers(), null);
    boolean mutual = trust != null;
    return new TLSFactory(
        context,
        c -> {
          SSLEngine engine = c.createSSLEngine();
          engine.setUseClientMode(false);
          engine.setNeedClientAuth(mutual);
          return engine;
        });
  }

  private static Certificate certificate(String file) throws Exception {
    try (FileInputStream in = new FileInputStream(file)) {
      return CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }
}
