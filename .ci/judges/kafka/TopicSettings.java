import java.io.FileReader;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Judges topic settings by the broker's own validation: {@code TopicSettings.java FILE...}, each a properties file. Before it
 * believes a yes, it breaks each file in several ways and wants a no.
 */
public class TopicSettings {
  private static final List<Map.Entry<String, String>> BREAKS = List.of(
      Map.entry("cleanup.policy", "compct"), Map.entry("max.mesage.bytes", "1048588"), Map.entry("min.insync.replicas", "0"),
      Map.entry("max.message.bytes", "1MB"), Map.entry("retention.ms", "-2"), Map.entry("min.compaction.lag.ms", "9223372036854775807"));

  public static void main(String[] files) throws Exception {
    int faults = files.length == 0 ? 1 : 0;
    for (String file : files) {
      Properties settings = new Properties();
      try (FileReader in = new FileReader(file)) {
        settings.load(in);
      }
      String fault = fault(settings);
      if (settings.isEmpty() || fault != null) {
        System.err.println(file + ": " + fault);
        faults++;
      }
      for (Map.Entry<String, String> b : BREAKS) {
        Properties broken = new Properties();
        broken.putAll(settings);
        broken.put(b.getKey(), b.getValue());
        if (b.getKey().equals("min.compaction.lag.ms")) {
          broken.put("max.compaction.lag.ms", "1"); // the two contradict each other
        }
        if (fault(broken) == null) {
          System.err.println(file + ": with " + b + " it passes: this judge judges nothing");
          faults++;
        }
      }
    }
    System.out.printf("kafka: %d files of topic settings, %d broken ones for each, %d faults%n", files.length, BREAKS.size(), faults);
    System.exit(faults > 0 ? 1 : 0);
  }

  /** Returns what is wrong, or null. The broker takes a name that it does not know for one of somebody else's. */
  private static String fault(Properties settings) {
    Set<String> known = Set.copyOf(LogConfig.configNames());
    for (String key : settings.stringPropertyNames()) {
      if (!known.contains(key)) {
        return "unknown topic setting " + key;
      }
    }
    try {
      LogConfig.validate(settings);
      return null;
    } catch (KafkaException e) {
      return e.getMessage();
    }
  }
}
