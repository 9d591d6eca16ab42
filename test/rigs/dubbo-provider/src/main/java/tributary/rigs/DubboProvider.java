package tributary.rigs;

import com.example.DemoService;
import com.example.OtherService;
import java.util.ArrayList;
import java.util.List;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.service.GenericService;

/**
 * A Dubbo provider set up by system properties: rig.application, rig.registry (an URL), rig.protocol.N (name:port) and,
 * for each service, rig.service.N and optionally rig.service.N.{group,version,weight,tag}. Whatever else is to be set goes
 * through Dubbo's own dubbo.* properties. Prints "rig: registered" when all is exported.
 */
public final class DubboProvider {
    public static void main(String[] args) throws Exception {
        ApplicationConfig application = new ApplicationConfig(System.getProperty("rig.application"));
        application.setQosEnable(false);
        List<ProtocolConfig> protocols = new ArrayList<>();
        for (String value; (value = System.getProperty("rig.protocol." + protocols.size())) != null; ) {
            String[] nameAndPort = value.split(":");
            ProtocolConfig protocol = new ProtocolConfig(nameAndPort[0], Integer.parseInt(nameAndPort[1]));
            protocol.setId(nameAndPort[0]);
            protocols.add(protocol);
        }
        DubboBootstrap bootstrap = DubboBootstrap.getInstance()
            .application(application)
            .registry(new RegistryConfig(System.getProperty("rig.registry")))
            .protocols(protocols);
        for (int i = 0; System.getProperty("rig.service." + i) != null; i++) bootstrap.service(service(i));
        bootstrap.start();
        System.out.println("rig: registered");
        Thread.currentThread().join();
    }

    private static ServiceConfig<Object> service(int index) {
        String prefix = "rig.service." + index;
        String name = System.getProperty(prefix);
        ServiceConfig<Object> service = new ServiceConfig<>();
        service.setId("service-" + index); // 2.7 needs a distinct id for each
        service.setInterface(name);
        service.setRef(implementation(name));
        service.setGroup(System.getProperty(prefix + ".group"));
        service.setVersion(System.getProperty(prefix + ".version"));
        service.setWeight(Integer.getInteger(prefix + ".weight"));
        service.setTag(System.getProperty(prefix + ".tag"));
        return service;
    }

    private static Object implementation(String name) {
        if (name.equals(DemoService.class.getName())) return new Demo();
        if (name.equals(OtherService.class.getName())) return (OtherService) text -> text;
        return (GenericService) (method, types, values) -> method;
    }

    private static final class Demo implements DemoService {
        public int add(int left, int right) {
            return left + right;
        }

        public String sayHello(String name) {
            return "hello " + name;
        }
    }
}
