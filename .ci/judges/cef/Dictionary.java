import com.fluenda.parcefone.event.CommonEvent;
import com.fluenda.parcefone.parser.CEFParser;
import jakarta.validation.Validation;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Judges the keys of CEF by the dictionary of Apache NiFi's parser: known names, types and lengths.
 *
 * <p>java -cp 'lib/*' Dictionary.java DIR, after `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR`. In DIR,
 * cef.dictionary holds a line of CEF each, after its number of keys. The parser drops a key that it does not know in
 * silence, so keys are counted. It does not undo escapes: lines that only escapes make too long are not in the file.
 * In the same run, lines broken on purpose must be refused: a judge that approves of everything fails.
 */
public class Dictionary {
    private static final CEFParser PARSER =
            new CEFParser(Validation.buildDefaultValidatorFactory().getValidator());

    /** Returns what is wrong with a line, or null. */
    private static String fault(int keys, String line) {
        try {
            CommonEvent event = PARSER.parse(line, true, true, Locale.ENGLISH);
            if (event == null) {
                return "refused";
            }
            int known = event.getExtension(true).size();
            return known == keys ? null : keys + " keys, " + known + " known";
        } catch (Exception e) {
            return e.toString();
        }
    }

    public static void main(String[] args) throws Exception {
        int lines = 0;
        int wrong = 0;
        for (String record : Files.readString(Path.of(args[0], "cef.dictionary"), StandardCharsets.UTF_8).split("\n")) {
            int space = record.indexOf(' ');
            int keys = Integer.parseInt(record.substring(0, space));
            String line = record.substring(space + 1);
            lines++;
            String fault = fault(keys, line);
            if (fault != null && ++wrong <= 5) {
                System.out.println(fault + "\n  " + line.substring(0, Math.min(line.length(), 1500)));
            }
            if (lines == 1) {
                approves(keys, line);
            }
        }
        System.out.println("parcefone: " + lines + " lines, " + wrong + " faults; every broken one found");
        System.exit(wrong > 0 || lines == 0 ? 1 : 0);
    }

    private static void approves(int keys, String line) {
        Map<String, String> broken = new LinkedHashMap<>();
        broken.put("an address that is none", line.replaceFirst(" dst=[^ ]+", " dst=2001:db8::1"));
        broken.put("an action of 64 letters", line.replaceFirst(" act=[^ ]+", " act=" + "a".repeat(64)));
        broken.put("a text of 4001 letters", line.replaceFirst(" cs1=[^ ]+", " cs1=" + "a".repeat(4001)));
        broken.put("a hardware address that is none", line.replaceFirst(" dmac=[^ ]+", " dmac=02:00:5e"));
        broken.put("a size that is no number", line.replaceFirst(" fsize=[^ ]+", " fsize=large"));
        broken.put("a size of more than 32 bits", line.replaceFirst(" fsize=[^ ]+", " fsize=3000000000"));
        broken.put("a time that is none", line.replaceFirst("\\|rt=[^ ]+", "|rt=yesterday"));
        broken.put("a key of nobody's", line.replaceFirst(" dst=", " destination="));
        broken.forEach((name, damaged) -> {
            if (damaged.equals(line) || fault(keys, damaged) == null) {
                System.out.println("parcefone approves of " + name + ": it judges nothing");
                System.exit(1);
            }
        });
    }
}
